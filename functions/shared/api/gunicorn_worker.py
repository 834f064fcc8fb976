"""gunicorn's threaded worker, with the API's JSON errors for requests that it can't parse."""

from __future__ import annotations

import json
import socket
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


class Worker(ThreadWorker):
    """Answers unparsable requests in JSON with a request id, where gunicorn would send HTML."""

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
