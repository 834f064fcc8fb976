"""A proxy in front of NATS that holds back what followers of a stream get, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.e2e.faults.proxy import HOST, ProxyLoop

# The subjects of both streams. Answers to requests come on subjects of their own.
STREAMS: Final = b"kinora."


class FollowerProxy:
    """Forwards a free port of 127.0.0.1 to a NATS server. Thread-safe."""

    def __init__(self, loop: ProxyLoop, target: int) -> None:
        """Listen, and forward connections to the port `target`."""
        self._loop = loop
        self._target = target
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.port: Final[int] = loop.run(self._listen())

    def hold_back(self) -> None:
        """Deliver no message of a stream, until `release`."""
        self._loop.run(self._set_flowing(False))

    def release(self) -> None:
        """Deliver what was held back, in its order, and what follows."""
        self._loop.run(self._set_flowing(True))

    async def _set_flowing(self, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _listen(self) -> int:
        server = await asyncio.start_server(self._serve, HOST, 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(HOST, self._target)
        held: asyncio.Queue[bytes] = asyncio.Queue()
        deliveries = asyncio.create_task(self._deliver(held, writer))
        try:
            await asyncio.gather(_copy(reader, server_writer), _sort(server_reader, writer, held))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one side has gone, or the loop is closed
        finally:
            deliveries.cancel()
            server_writer.transport.abort()
            writer.transport.abort()

    async def _deliver(self, held: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
        while True:
            frame = await held.get()
            await self._flowing.wait()
            writer.write(frame)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(64 << 10):
        writer.write(data)
    raise asyncio.IncompleteReadError(b"", None)


async def _sort(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: asyncio.Queue[bytes]
) -> None:
    """Forward the server's frames at once, except for messages of streams, which go to `held`."""
    while True:
        frame = await reader.readuntil(b"\r\n")
        words = frame.split()
        message = words[0] in {b"MSG", b"HMSG"}
        if message:
            frame += await reader.readexactly(int(words[-1]) + 2)
        if message and words[1].startswith(STREAMS):
            held.put_nowait(frame)
        else:
            writer.write(frame)
