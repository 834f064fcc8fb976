"""An HTTP server that receives webhooks and records them."""

from __future__ import annotations

import ssl
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tests.patience import scaled


@dataclass(frozen=True)
class Received:
    """A received request; header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers every POST with 200, or as the test configures it. A context manager.

    Attributes:
        answers: status and headers of the next answers, one each; 200 once they are used up.
        hold: while it is not set, requests are received and not answered.
        tls: with it, the server speaks https.
    """

    answers: deque[tuple[int, Mapping[str, str]]] = field(default_factory=deque)
    hold: threading.Event = field(default_factory=threading.Event)
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        self.hold.set()
        self.received: list[Received] = []
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/hook"

    def take(self, received: Received) -> tuple[int, Mapping[str, str]]:
        """Record a request, and return status and headers of its answer."""
        with self._changed:
            self.received.append(received)
            answer = self.answers.popleft() if self.answers else (200, {})
            self._changed.notify_all()
        self.hold.wait(scaled(60))
        return answer

    def wait(self, count: int, *, seconds: float = 30) -> list[Received]:
        """Return all requests once there are at least `count`."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.received) >= count, scaled(seconds)):
                raise AssertionError(
                    f"{len(self.received)} of {count} requests arrived in {seconds} s"
                )
            return list(self.received)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, fields = receiver.take(Received(self.path, headers, body))
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Log nothing."""

    return Handler
