"""gunicorn's threaded worker, for callers that send nonsense, send slowly, or never hang up."""

from __future__ import annotations

import json
import selectors
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

from functions.shared.api.request_ids import request_id
from functions.shared.errors import InvalidRequest, KinoraError

_STATUS: Final[dict[type[Exception], HTTPStatus]] = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}

# Until a caller has sent a whole request, in seconds. The proxies in front send theirs at once.
REQUEST_SECONDS: Final = 30.0
# For a caller that reads nothing of its response, in seconds. The gateway reads on behalf of
# callers, as fast as they do.
SEND_SECONDS: Final = 60
# After its last response on a connection, the server waits this long for the caller to hang up, in
# seconds, and reads up to this many bytes of an unread body: closing at once could lose that
# response (RFC 9112, section 9.6). Both are gunicorn's own.
_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 65536


class Worker(ThreadWorker):
    """Four things that gunicorn does otherwise.

    Unparsable requests get the API's JSON error with a request id, where gunicorn sends HTML.
    A request that never becomes complete holds a thread for `REQUEST_SECONDS` at most, and a caller
    that reads nothing of its response one for `SEND_SECONDS` after the buffers are full. And
    connections that the server closes wait for their callers beside everything else, where gunicorn
    accepts no connection meanwhile.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # When each connection times out. Its thread adds it; each operation is atomic, so that the
        # main thread needs no lock.
        self._receiving: dict[Any, float] = {}
        # Of the main thread alone, with the bytes that may still be read.
        self._lingering: dict[Any, tuple[float, int]] = {}

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """See gunicorn's `ThreadWorker`; every thread exists before the first caller comes."""
        pool = ThreadPoolExecutor(self.cfg.threads)
        all_created = threading.Event()
        # Each waits, so that none takes the place of the next.
        for _ in range(self.cfg.threads):
            pool.submit(all_created.wait)
        all_created.set()
        return pool

    def handle(self, conn: Any) -> Any:
        """See gunicorn's `ThreadWorker`; runs in a thread of the pool."""
        self._receiving[conn] = time.monotonic() + REQUEST_SECONDS
        try:
            return super().handle(conn)
        finally:
            self._receiving.pop(conn, None)

    def handle_request(self, req: Any, conn: Any) -> bool:
        """See gunicorn's `ThreadWorker`; `request_body.py` calls what this adds to the body."""
        req.body.request_received = partial(self._receiving.pop, conn, None)
        req.body.close_connection = req.force_close
        # A timeout of Python's would apply to reading, and to a large response as a whole.
        timeout = struct.pack("ll", SEND_SECONDS, 0)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        try:
            return bool(super().handle_request(req, conn))
        except BlockingIOError:
            self.log.warning("a caller read nothing for %s s", SEND_SECONDS)
            return False

    def finish_request(self, conn: Any, fs: Any) -> None:
        """See gunicorn's `ThreadWorker`; runs in the main thread, so it must not wait."""
        if fs.cancelled() or fs.exception() is not None or fs.result() is not False:
            super().finish_request(conn, fs)
            return
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
        except OSError:
            self._close(conn)
        else:
            self._lingering[conn] = (time.monotonic() + _LINGER_SECONDS, _LINGER_BYTES)

    def murder_pending(self) -> None:
        """See gunicorn's `ThreadWorker`, which calls this every second."""
        super().murder_pending()
        now = time.monotonic()
        for conn, (deadline, _) in list(self._lingering.items()):
            if deadline <= now:
                self._stop_lingering(conn)
        for conn, deadline in list(self._receiving.items()):
            if deadline <= now and self._receiving.pop(conn, None) is not None:
                self.log.warning("a request was incomplete after %s s", REQUEST_SECONDS)
                with suppress(OSError):  # the caller has reset the connection
                    # To the thread that reads, the request ends here.
                    conn.sock.shutdown(socket.SHUT_RD)

    def _drain(self, conn: Any, client: socket.socket) -> None:
        deadline, left = self._lingering[conn]
        try:
            received = len(client.recv(_LINGER_BYTES))
        except BlockingIOError:
            return
        except OSError:
            received = 0
        if 0 < received < left:
            self._lingering[conn] = (deadline, left - received)
        else:
            self._stop_lingering(conn)

    def _stop_lingering(self, conn: Any) -> None:
        del self._lingering[conn]
        self.poller.unregister(conn.sock)
        self._close(conn)

    def _close(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def handle_error(
        self,
        req: Any,  # noqa: ARG002 - gunicorn's signature
        client: socket.socket,
        addr: Any,  # noqa: ARG002 - the same
        exc: BaseException,
    ) -> None:
        """See gunicorn's `Worker.handle_error`, which closes the connection afterwards."""
        if isinstance(exc, ParseException):
            status = _STATUS.get(type(exc), HTTPStatus.BAD_REQUEST)
            error: KinoraError = InvalidRequest(
                f"The request can't be parsed: {exc}", code=status.name.lower()
            )
        else:
            status, error = HTTPStatus.INTERNAL_SERVER_ERROR, KinoraError()
        name = request_id()
        self.log.warning("%s: answered %d: %s", name, status, exc)
        try:
            write_nonblock(client, _response(status, error, name))
        except OSError:
            self.log.debug("%s: the caller has disconnected", name)


def _response(status: HTTPStatus, error: KinoraError, name: str) -> bytes:
    body = json.dumps(error.body()).encode()
    lines = (
        f"HTTP/1.1 {status} {status.phrase}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"x-request-id: {name}",
    )
    return "\r\n".join((*lines, "", "")).encode() + body
