"""Readiness probes for the servers of the local stack. A probe does not wait."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from typing import Literal

# A ready server on this machine answers within milliseconds; a slower one is probed again.
_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class Probe:
    """How a ready server responds.

    Attributes:
        kind: `nats` greets with INFO, `http` answers 200 on `path`, `s3` answers 403, because
            it refuses a caller without credentials.
        port: where it listens on 127.0.0.1.
        path: the path of the HTTP request.
    """

    kind: Literal["nats", "http", "s3"]
    port: int
    path: str = "/"


def is_ready(probe: Probe) -> bool:
    """Return whether the server that `probe` describes is ready now."""
    try:
        if probe.kind == "nats":
            return _greeting(probe.port).startswith(b"INFO ")
        expected = http.HTTPStatus.FORBIDDEN if probe.kind == "s3" else http.HTTPStatus.OK
        return _status(probe.port, probe.path) == expected
    except (OSError, http.client.HTTPException):
        return False


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as listener:
        # As servers do: a port whose last connections are still in TIME_WAIT is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            # Linux lets a second SO_REUSEADDR socket bind; only listening finds the first one.
            listener.listen()
        except OSError:
            return False
        return True


def _greeting(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS) as connection:
        return connection.recv(64)


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
