"""Receives a request's body: from callers who may send one, bounded in size and in time."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from threading import BoundedSemaphore
from typing import Any, Final

from flask import request
from gunicorn.http.errors import ParseException

from functions.shared.errors import InvalidRequest, KinoraError, TooLarge

# A body means nothing with these (RFC 9110, sections 9.3.1, 9.3.2 and 9.3.7).
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Many clients read no response before they have sent the whole body, so one that is too large is
# read and discarded: up to this size, a long video's, and a few at a time, because each holds a
# thread for as long as its caller takes to send it.
_MAX_DISCARDED: Final = 256 << 20
_MAX_DISCARDING: Final = 2
_CHUNK: Final = 64 << 10


class BodyReceiver:
    """Receives the bodies of one function's requests. Safe to use from any thread."""

    def __init__(
        self,
        limit: int,
        authenticate: Callable[[str | None], object],
        explain_large: Callable[[bytes], KinoraError | None] = lambda _: None,
    ) -> None:
        """Accept up to `limit` bytes from callers that may send some.

        Args:
            limit: in bytes.
            authenticate: raises a `KinoraError` for an `Authorization` header that may not.
            explain_large: a better error for a body beyond the limit than `TooLarge`, from the
                first bytes of it, which may be none; called in the request's context.
        """
        self._limit = limit
        self._authenticate = authenticate
        self._explain_large = explain_large
        self._discarding = BoundedSemaphore(_MAX_DISCARDING)

    def receive(self) -> None:
        """Read the whole body before anything else uses the request, or none of it.

        None of it is read where it means nothing, or where the caller may not send one: whoever
        never completes a body would hold a thread. The connection closes after that response.

        Raises:
            KinoraError: what `authenticate` raises for the `Authorization` header, or
                `explain_large` returns.
            InvalidRequest: the body is incomplete, or its chunks can't be parsed.
            TooLarge: it is longer than the limit. The connection closes after the response.
        """
        body = request.environ["wsgi.input"]
        try:
            if request.method in _WITHOUT_BODY or request.routing_exception is not None:
                _ignore(body)
                return
            try:
                self._authenticate(request.headers.get("Authorization"))
            except KinoraError:
                _ignore(body)
                raise
            _replace_input(self._read(body))
        finally:
            _tell_server(body, "request_received")

    def _read(self, body: Any) -> bytes:
        length = request.content_length
        if length is not None and length > self._limit:
            raise self._refuse(body, b"")
        try:
            # Chunked bodies declare no length: one byte above the limit is enough to tell.
            content: bytes = body.read(self._limit + 1 if length is None else length)
        except (OSError, ParseException) as error:
            raise InvalidRequest(f"The body can't be read: {error}") from error
        if length is not None and len(content) < length:
            raise InvalidRequest(
                f"The body ended after {len(content)} bytes, but its Content-Length is {length}"
            )
        if len(content) > self._limit:
            raise self._refuse(body, content)
        return content

    def _refuse(self, body: Any, start: bytes) -> KinoraError:
        if self._discarding.acquire(blocking=False):
            try:
                with suppress(OSError, ParseException):
                    start = start or body.read(self._limit)
                    _discard(body)
            finally:
                self._discarding.release()
        _tell_server(body, "close_connection")
        return self._explain_large(start) or TooLarge(
            f"The body is larger than {self._limit} bytes, the limit. Send a smaller one."
        )


def _discard(body: Any) -> None:
    for _ in range(_MAX_DISCARDED // _CHUNK):
        if not body.read(_CHUNK):
            return


def close_connection() -> None:
    """Let the server close the connection after its response to the current request."""
    _tell_server(request.environ["wsgi.input"], "close_connection")


def _ignore(body: Any) -> None:
    if request.content_length or "HTTP_TRANSFER_ENCODING" in request.environ:
        _tell_server(body, "close_connection")
        _replace_input(b"")


def _replace_input(content: bytes) -> None:
    request.environ["wsgi.input"] = io.BytesIO(content)
    request.environ["CONTENT_LENGTH"] = str(len(content))


def _tell_server(body: Any, method: str) -> None:
    """Call what `gunicorn_worker.Worker` adds to the bodies that it passes; others lack it.

    gunicorn would otherwise keep a connection whose body was left unread, after waiting for that
    body, and the proxy in front would lose the next caller's request on it. It ignores the header
    `Connection` of an application's response.
    """
    getattr(body, method, lambda: None)()
