"""Many clients that each read one video once a second, in a process of their own."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from typing import Final

from benchmarks.load_generator import LoadResult, get

POLL_SECONDS: Final = 1.0
# A client must not wait for ever for a server that is gone.
ANSWER_SECONDS: Final = 60.0


def poll(port: int, paths: list[str], *, seconds: float) -> LoadResult:
    """Let one client for each of `paths` read it on 127.0.0.1, for `seconds`.

    A client asks again a second after its last question, or as soon as that is answered.

    Raises:
        RuntimeError: a response was not a 200, or a connection failed.
    """
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(port, paths, seconds, theirs))
    process.start()
    theirs.close()
    result: LoadResult | str = mine.recv()
    process.join()
    if isinstance(result, str):
        raise RuntimeError(result)  # noqa: TRY004 - the client's error, not one of types
    return result


def _run(port: int, paths: list[str], seconds: float, result: Connection) -> None:
    try:
        latencies = asyncio.run(_poll_all(port, paths, seconds))
        result.send(LoadResult(len(latencies) / seconds, latencies))
    except Exception as error:  # noqa: BLE001 - the parent raises it
        result.send(repr(error))


async def _poll_all(port: int, paths: list[str], seconds: float) -> list[float]:
    phases = random.Random(1)  # noqa: S311 - reproducible
    end = time.perf_counter() + seconds
    clients = [_client(port, path, phases.random() * POLL_SECONDS, end) for path in paths]
    return [latency for found in await asyncio.gather(*clients) for latency in found]


async def _client(port: int, path: str, phase: float, end: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request, latencies = get(port, path), []
    due = time.perf_counter() + phase
    while due < end:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        begun = time.perf_counter()
        writer.write(request)
        async with asyncio.timeout(ANSWER_SECONDS):
            await _read_answer(reader)
        answered = time.perf_counter()
        # What comes after the end is not counted, so the rate is that of the server.
        if answered < end:
            latencies.append(answered - begun)
        due = max(begun + POLL_SECONDS, answered)
    writer.close()
    return latencies


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(head.decode(errors="replace"))
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
