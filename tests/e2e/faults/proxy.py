"""A TCP proxy that can cut, refuse, delay and stall connections, or answer with HTTP errors."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

HOST: Final = "127.0.0.1"
CHUNK: Final = 64 << 10
# An internal error in the format of Amazon S3; boto3 retries such a request.
ERROR_BODY: Final = b"<Error><Code>InternalError</Code><Message>injected</Message></Error>"
ERROR: Final = (
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/xml\r\nconnection: close\r\n"
    b"content-length: " + str(len(ERROR_BODY)).encode() + b"\r\n\r\n" + ERROR_BODY
)


class ProxyLoop:
    """The event loop of all proxies of a stack, on its own thread."""

    def __init__(self) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` on the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def close(self) -> None:
        """Stop the loop and every proxy."""
        self.run(self._cancel_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Proxy:
    """Forwards a free port of 127.0.0.1 to another port. Thread-safe."""

    def __init__(self, loop: ProxyLoop, target: int) -> None:
        """Listen, and forward connections to the port `target`."""
        self._loop = loop
        self._target = target
        self._mode = "pass"
        self._delay = 0.0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port: Final[int] = loop.run(self._listen())

    async def _listen(self) -> int:
        server = await asyncio.start_server(self._serve, HOST, 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        """Reset all open connections; new ones are forwarded."""
        self._loop.run(self._cut())

    def refuse(self) -> None:
        """Reset all connections, open and new, until `heal`."""
        self._mode = "refuse"
        self.cut()

    def answer_errors(self) -> None:
        """Answer every HTTP request with 500, until `heal`."""
        self._mode = "error"
        self.cut()

    def slow(self, seconds: float) -> None:
        """Delay each chunk of data by `seconds`, until `heal`."""
        self._delay = seconds

    def stall(self) -> None:
        """Hold all data back, with connections open, until `heal` delivers it late."""
        self._loop.run(self._set_flowing(False))

    def heal(self) -> None:
        """Forward everything again."""
        self._mode, self._delay = "pass", 0.0
        self._loop.run(self._set_flowing(True))

    async def _set_flowing(self, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._mode == "error":
                await self._answer_error(reader, writer)
            elif self._mode == "pass":
                await self._connect(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            pass  # by `close`; asyncio's streams would report a cancelled task as an error
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _answer_error(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ERROR)
        await writer.drain()
        writer.write_eof()
        # Wait until the client closes: a reset could discard the response.
        while await reader.read(CHUNK):
            pass

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target_reader, target_writer = await asyncio.open_connection(HOST, self._target)
        self._writers.add(target_writer)
        try:
            await asyncio.gather(
                self._pump(reader, target_writer), self._pump(target_reader, writer)
            )
        finally:
            target_writer.transport.abort()
            self._writers.discard(target_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._flowing.wait()
            if self._delay:
                await asyncio.sleep(self._delay)
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
