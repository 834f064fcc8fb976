"""Callers that never finish their requests, or never hang up, hold nobody up."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from flask import Flask, Response, request
from prometheus_client import CollectorRegistry

from functions.shared.api.http import new_app
from local.stack import ROOT
from tests import patience
from tests.ports import free_ports

THREADS = 4
# More than there are threads.
CALLERS = 20
# The test's own, because the functions' would make it wait for half a minute.
REQUEST_SECONDS = 2
HOST = b"Host: kinora\r\n"
GUNICORN = f"""
from functions.shared.api import gunicorn_worker
from functions.shared.api.gunicorn import *

gunicorn_worker.REQUEST_SECONDS = {REQUEST_SECONDS}
gunicorn_worker.SEND_SECONDS = {REQUEST_SECONDS}
threads = {THREADS}
wsgi_app = "tests.integration.test_slow_callers:create_app()"
"""


def create_app() -> Flask:
    """A function that reads bodies of up to 100,000 bytes and answers with their length.

    Its file is larger than all buffers on the way. It tells how many responses with the file have
    ended, completely sent or not.
    """
    app = new_app("f", check=lambda: None, max_body_bytes=100_000, registry=CollectorRegistry())
    ended: list[None] = []

    @app.post("/")
    def echo() -> str:
        return str(len(request.get_data()))

    @app.get("/file")
    def file() -> Response:
        response = Response(b"x" * (1 << 20) for _ in range(16))
        response.call_on_close(lambda: ended.append(None))
        return response

    @app.get("/ended")
    def count_ended() -> str:
        return str(len(ended))

    return app


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real gunicorn with few threads and little patience."""
    folder: Path = tmp_path_factory.mktemp("gunicorn")
    (folder / "gunicorn.conf.py").write_text(GUNICORN)
    (number,) = free_ports(1)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", str(folder / "gunicorn.conf.py")],
            env={"PORT": str(number), "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        patience.wait_until(
            lambda: _answers(number), seconds=30, what=f"gunicorn starts, see {folder / 'log'}"
        )
        yield number
    finally:
        process.terminate()
        process.wait(patience.scaled(30))


def _answers(port: int) -> bool:
    with suppress(OSError):
        return _exchange(port, b"GET /healthz HTTP/1.1\r\n").startswith(b"HTTP/1.1 200")
    return False


def _connect(stack: ExitStack, port: int, count: int, sent: bytes) -> list[socket.socket]:
    """Connections that stay open, on each of which `sent` was sent."""
    timeout = patience.scaled(30)
    connections = [
        stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=timeout))
        for _ in range(count)
    ]
    for connection in connections:
        connection.sendall(sent)
    return connections


def _exchange(port: int, head: bytes, body: bytes = b"") -> bytes:
    """The response to one request, after which the server closes the connection."""
    with ExitStack() as stack:
        sent = head + HOST + b"Connection: close\r\n\r\n" + body
        (connection,) = _connect(stack, port, 1, sent)
        return connection.makefile("rb").read()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nContent-Length: 10\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", b"200"),
        (b"HEAD /healthz HTTP/1.1\r\nContent-Length: 10\r\n", b"200"),
        (b"POST /healthz HTTP/1.1\r\nContent-Length: 10\r\n", b"405"),
        (b"POST /nope HTTP/1.1\r\nContent-Length: 10\r\n", b"404"),
        (b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n", b"413"),
    ],
)
def test_a_body_that_is_not_needed_is_not_waited_for(port: int, head: bytes, status: bytes) -> None:
    """The response comes at once, and says that the connection closes."""
    with ExitStack() as stack:
        connections = _connect(stack, port, CALLERS, head + HOST + b"\r\n1")
        started = patience.now().served
        responses = [connection.makefile("rb").read() for connection in connections]
        assert patience.now().served - started < REQUEST_SECONDS * CALLERS / THREADS
    assert {response.split()[1] for response in responses} == {status}
    assert all(b"\r\nConnection: close\r\n" in response for response in responses)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 10\r\n" + HOST + b"\r\n1", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n5\r\n1", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHos", None),
    ],
)
def test_an_incomplete_request_ends(port: int, sent: bytes, status: bytes | None) -> None:
    """Its caller is told so, or disconnected if there is nobody to tell; others are answered."""
    with ExitStack() as stack:
        connections = _connect(stack, port, THREADS, sent)
        assert _answers(port)
        for connection in connections:
            response = connection.makefile("rb").read()
            assert response.split()[1:2] == ([status] if status else [])


def test_callers_that_do_not_hang_up_delay_nobody(port: int) -> None:
    """Each connection that the server closes waits for its caller beside the others."""
    with ExitStack() as stack:
        last = b"GET /healthz HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"
        connections = _connect(stack, port, CALLERS, last)
        started = patience.now().served
        assert _answers(port)
        for connection in connections:
            assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200")
        # One after the other, they would wait for two seconds each.
        assert patience.now().served - started < CALLERS


def test_a_caller_that_still_sends_gets_the_response(port: int) -> None:
    """Though most of its body is never read."""
    response = _exchange(port, b"POST / HTTP/1.1\r\nContent-Length: 150000\r\n", b"x" * 150_000)
    assert response.startswith(b"HTTP/1.1 413")


def test_a_caller_that_reads_nothing_is_disconnected(port: int) -> None:
    """And one that reads slowly is not, though its response takes longer altogether."""
    with ExitStack() as stack:
        get = b"GET /file HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"
        before = _ended(port)
        connections = _connect(stack, port, THREADS, get)
        # Each of them has its own time, which begins when its buffers are full. A caller that reads
        # before it is over gets the whole file.
        patience.wait_until(
            lambda: _ended(port) == before + THREADS, seconds=30, what="all are disconnected"
        )
        for connection in connections:
            assert _read_all(connection) < 16 << 20
        (slow,) = _connect(stack, port, 1, get)
        assert _read_all(slow, pause=REQUEST_SECONDS / 16) > 16 << 20


def _ended(port: int) -> int:
    """How many responses with the file have ended; it is told when a thread is free."""
    return int(_exchange(port, b"GET /ended HTTP/1.1\r\n").rpartition(b"\r\n")[2])


def _read_all(connection: socket.socket, pause: float = 0) -> int:
    """How many bytes come, if the caller pauses after each megabyte."""
    total = 0
    while received := len(connection.recv(1 << 20, socket.MSG_WAITALL)):
        total += received
        time.sleep(pause)  # the slowness of the caller itself
    return total
