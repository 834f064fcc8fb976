"""Receives a request's body: from callers who may send one, bounded in size and in time."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final

from flask import request
from gunicorn.http.errors import ParseException

from functions.shared.errors import InvalidRequest, KinoraError, TooLarge

# A body means nothing with these (RFC 9110, sections 9.3.1, 9.3.2 and 9.3.7).
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def receive_body(limit: int, authenticate: Callable[[str | None], object]) -> None:
    """Read the whole body before anything else uses the request, or none of it.

    None of it is read where it means nothing, or where the caller may not send one: whoever never
    completes a body would hold a thread. The connection closes after that response.

    Raises:
        KinoraError: what `authenticate` raises for the `Authorization` header.
        InvalidRequest: the body is incomplete, or its chunks can't be parsed.
        TooLarge: it is longer than `limit`. The connection closes after the response.
    """
    body = request.environ["wsgi.input"]
    try:
        if request.method in _WITHOUT_BODY or request.routing_exception is not None:
            _ignore(body)
            return
        try:
            authenticate(request.headers.get("Authorization"))
        except KinoraError:
            _ignore(body)
            raise
        _replace_input(_read(body, limit))
    finally:
        _tell_server(body, "request_received")


def close_connection() -> None:
    """Let the server close the connection after its response to the current request."""
    _tell_server(request.environ["wsgi.input"], "close_connection")


def _ignore(body: Any) -> None:
    if request.content_length or "HTTP_TRANSFER_ENCODING" in request.environ:
        _tell_server(body, "close_connection")
        _replace_input(b"")


def _read(body: Any, limit: int) -> bytes:
    content = b""
    length = request.content_length
    if length is None or length <= limit:
        try:
            # Chunked bodies declare no length: one byte above the limit is enough to tell.
            content = body.read(limit + 1 if length is None else length)
        except (OSError, ParseException) as error:
            raise InvalidRequest(f"The body can't be read: {error}") from error
    if length is not None and len(content) < length <= limit:
        raise InvalidRequest(
            f"The body ended after {len(content)} bytes, but its Content-Length is {length}"
        )
    if len(content) > limit or (length or 0) > limit:
        _tell_server(body, "close_connection")
        raise TooLarge(f"The body is larger than {limit} bytes, the limit. Send a smaller one.")
    return content


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
