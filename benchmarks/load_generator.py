"""A closed-loop load generator: each client is a process that sends one request at a time."""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Final

# A client must not wait forever for a server that is gone.
SOCKET_SECONDS: Final = 30


@dataclass(frozen=True)
class LoadResult:
    """Requests per second of all clients together, and response times in seconds."""

    rate: float
    latencies: list[float]

    def percentile(self, percent: int) -> float:
        """The response time in seconds at `percent` (1 to 99)."""
        return statistics.quantiles(self.latencies, n=100)[percent - 1]


@dataclass(frozen=True)
class _ClientResult:
    """Response times of one client, its running time, and an error message if it failed."""

    latencies: list[float]
    seconds: float
    error: str = ""


def post(port: int, body: bytes) -> bytes:
    """The request that creates a video with the JSON `body`."""
    head = (
        f"POST /v1/videos HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(port: int, path: str) -> bytes:
    """The request that reads `path`."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


def generate_load(port: int, request: bytes, *, clients: int, seconds: float) -> LoadResult:
    """Send `request` to a port of 127.0.0.1 from `clients` processes, for `seconds`.

    Raises:
        RuntimeError: a response was not a 200, or a connection failed.
    """
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(clients)
    running = []
    for _ in range(clients):
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_client, args=(port, request, seconds, barrier, theirs))
        process.start()
        theirs.close()
        running.append((process, mine))
    results: list[_ClientResult] = [mine.recv() for _, mine in running]
    for process, _ in running:
        process.join()
    if errors := [result.error for result in results if result.error]:
        raise RuntimeError(", ".join(errors))
    rate = sum(len(result.latencies) / result.seconds for result in results)
    return LoadResult(rate, [latency for result in results for latency in result.latencies])


def _client(
    port: int, request: bytes, seconds: float, barrier: Barrier, result: Connection
) -> None:
    latencies = []
    try:
        with socket.create_connection(("127.0.0.1", port), SOCKET_SECONDS) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _exchange(connection, request)
            barrier.wait(SOCKET_SECONDS)
            begun = now = time.perf_counter()
            while now - begun < seconds:
                _exchange(connection, request)
                before, now = now, time.perf_counter()
                latencies.append(now - before)
        result.send(_ClientResult(latencies, now - begun))
    except Exception as error:  # noqa: BLE001 - the parent raises it
        barrier.abort()
        result.send(_ClientResult([], 0, repr(error)))


def _exchange(connection: socket.socket, request: bytes) -> None:
    connection.sendall(request)
    response = connection.recv(65536)
    while b"\r\n\r\n" not in response:
        response += _receive(connection)
    head, _, body = response.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(response[:500].decode(errors="replace"))
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    missing = length - len(body)
    while missing > 0:
        missing -= len(_receive(connection))


def _receive(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise RuntimeError("the server closed the connection")
    return part
