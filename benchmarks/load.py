"""Clients that send one request after the other, each a process, and do next to nothing else."""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Final

# Without it a client that lost its server would wait for ever.
SOCKET_SECONDS: Final = 30


@dataclass(frozen=True)
class Load:
    """Requests a second of all clients together, and seconds from a request to its answer."""

    rate: float
    latencies: list[float]

    def percentile(self, percent: int) -> float:
        """Seconds within which so many of a hundred answers came."""
        return statistics.quantiles(self.latencies, n=100)[percent - 1]


@dataclass(frozen=True)
class _Answer:
    """What one client says in the end."""

    latencies: list[float]
    seconds: float
    problem: str = ""


def measure(port: int, body: bytes, *, clients: int, seconds: float) -> Load:
    """POST `body` to /v1/videos on 127.0.0.1, from `clients` processes for `seconds`.

    Raises:
        RuntimeError: an answer was no 202.
    """
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(clients)
    running = []
    for _ in range(clients):
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_client, args=(port, body, seconds, barrier, theirs))
        process.start()
        theirs.close()
        running.append((process, mine))
    answers: list[_Answer] = [mine.recv() for _, mine in running]
    for process, _ in running:
        process.join()
    if problems := [answer.problem for answer in answers if answer.problem]:
        raise RuntimeError(", ".join(problems))
    rate = sum(len(answer.latencies) / answer.seconds for answer in answers)
    return Load(rate, [value for answer in answers for value in answer.latencies])


def _client(port: int, body: bytes, seconds: float, barrier: Barrier, result: Connection) -> None:
    head = (
        f"POST /v1/videos HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    request, latencies = head.encode() + body, []
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
        result.send(_Answer(latencies, now - begun))
    except Exception as problem:  # noqa: BLE001 - the parent raises it
        barrier.abort()
        result.send(_Answer([], 0, repr(problem)))


def _exchange(connection: socket.socket, request: bytes) -> None:
    connection.sendall(request)
    answer = connection.recv(65536)
    while b"\r\n\r\n" not in answer:
        answer += _more(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 202 "):
        raise RuntimeError(answer[:500].decode(errors="replace"))
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    missing = length - len(body)
    while missing > 0:
        missing -= len(_more(connection))


def _more(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise RuntimeError("the server closed the connection")
    return part
