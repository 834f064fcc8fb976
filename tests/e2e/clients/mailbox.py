"""A webhook endpoint whose messages other processes can read."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.patience import scaled

# Longer than delivering a webhook takes on an idle machine.
SECONDS = 50


class Mailbox:
    """Accepts every POST; `GET /<video id>` waits for the message about the video.

    A context manager. GET returns `{"headers", "body"}` as they were received, or 404 on timeout.
    """

    def __init__(self) -> None:
        self._messages: dict[str, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def put(self, headers: dict[str, str], body: str) -> None:
        """Store a message."""
        with self._changed:
            self._messages[json.loads(body)["data"]["id"]] = {"headers": headers, "body": body}
            self._changed.notify_all()

    def get(self, video_id: str) -> dict[str, Any] | None:
        """The message about a video; None on timeout."""
        with self._changed:
            self._changed.wait_for(lambda: video_id in self._messages, scaled(SECONDS))
            return self._messages.get(video_id)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(mailbox: Mailbox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            mailbox.put(dict(self.headers.items()), body)
            self._answer(200, b"")

        def do_GET(self) -> None:
            message = mailbox.get(self.path.lstrip("/"))
            self._answer(404 if message is None else 200, json.dumps(message).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Log nothing."""

    return Handler
