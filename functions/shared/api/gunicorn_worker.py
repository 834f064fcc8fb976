"""gunicorn's worker, with the errors that it answers before the function is asked."""

from __future__ import annotations

import json
import socket
import uuid
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

from functions.shared.errors import InvalidRequest, KinoraError

_STATUS: Final[dict[type[Exception], HTTPStatus]] = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}


class Worker(ThreadWorker):
    """Answers what it can't read in the API's own form, with a request id; gunicorn writes HTML."""

    def handle_error(
        self,
        req: Any,  # noqa: ARG002 - gunicorn's signature
        client: socket.socket,
        addr: Any,  # noqa: ARG002 - the same
        exc: BaseException,
    ) -> None:
        """See gunicorn's `Worker.handle_error`; the connection is closed afterwards."""
        if isinstance(exc, ParseException):
            status = _STATUS.get(type(exc), HTTPStatus.BAD_REQUEST)
            error: KinoraError = InvalidRequest(
                f"The request can't be read: {exc}", code=status.name.lower()
            )
        else:
            status, error = HTTPStatus.INTERNAL_SERVER_ERROR, KinoraError()
        request_id = f"req_{uuid.uuid4().hex}"
        self.log.warning("%s: answered %d: %s", request_id, status, exc)
        try:
            write_nonblock(client, _answer(status, error, request_id))
        except OSError:
            self.log.debug("%s: the caller has gone", request_id)


def _answer(status: HTTPStatus, error: KinoraError, request_id: str) -> bytes:
    body = json.dumps(error.body()).encode()
    lines = (
        f"HTTP/1.1 {status} {status.phrase}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"x-request-id: {request_id}",
    )
    return "\r\n".join((*lines, "", "")).encode() + body
