"""Responses of the HTTP server to requests that never reach the function."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from email.parser import BytesHeaderParser

import psutil
import pytest

from tests.harness import RunningStack
from tests.patience import scaled

# Of `functions/submit/gunicorn.conf.py`.
THREADS = 36


@pytest.fixture(scope="module")
def port(servers: RunningStack) -> Iterator[int]:
    """The port of a real `submit`."""
    servers.start("submit")
    yield servers.stack.ports["submit"]
    servers.kill("submit")


def _exchange(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes, close the sending side, and read until the server closes too."""
    with socket.create_connection(("127.0.0.1", port), timeout=scaled(20)) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    line, _, fields = head.partition(b"\r\n")
    headers = {name.lower(): text for name, text in BytesHeaderParser().parsebytes(fields).items()}
    return int(line.split()[1]), headers, body


HOST = b"Host: localhost\r\n"
POST = b"POST /v1/videos HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "request_uri_too_long"),
        (
            b"GET /healthz HTTP/1.1\r\n" + HOST + b"a: " + b"x" * 9000 + b"\r\n\r\n",
            431,
            "request_header_fields_too_large",
        ),
        (
            b"GET /healthz HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 200 + b"\r\n",
            431,
            "request_header_fields_too_large",
        ),
        (b"no HTTP\r\n\r\n", 400, "bad_request"),
        (b"GET /healthz HTTP/9.9\r\n" + HOST + b"\r\n", 400, "bad_request"),
        (b"GET /healthz HTTP/1.1\r\nbad header\r\n\r\n", 400, "bad_request"),
        (POST + b"Expect: a-miracle\r\n\r\n", 417, "expectation_failed"),
        (POST + b"Transfer-Encoding: zip\r\n\r\n", 501, "not_implemented"),
        (CHUNKED + b"zz\r\n", 400, "invalid_value"),
        (CHUNKED + b"5\r\nabc", 400, "invalid_value"),
        (POST + b'Content-Length: 50\r\n\r\n{"prompt": "x"}', 400, "invalid_value"),
    ],
)
def test_an_unparsable_request_gets_a_json_error(
    port: int, request_bytes: bytes, status: int, code: str
) -> None:
    """In the API's form, with a request id; then the connection closes."""
    answered, headers, body = _exchange(port, request_bytes)
    assert (answered, headers["content-type"]) == (status, "application/json")
    assert headers["x-request-id"].startswith("req_")
    error = json.loads(body)["error"]
    assert (error["code"], error["type"], error["param"]) == (code, "invalid_request_error", None)
    assert error["message"]


def test_what_proxies_say_about_the_scheme_is_ignored(port: int) -> None:
    """Otherwise gunicorn would refuse requests on which two proxies contradict each other."""
    proxies = b"X-Forwarded-Proto: http\r\nX-Forwarded-Ssl: on\r\nConnection: close\r\n"
    status, _, _ = _exchange(port, b"GET /healthz HTTP/1.1\r\n" + HOST + proxies + b"\r\n")
    assert status == 200


def test_all_threads_exist_before_the_first_caller_comes(servers: RunningStack, port: int) -> None:
    """One that is created later waits for all others, and so does whoever is to be accepted."""
    assert _exchange(port, b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")[0] == 200
    assert psutil.Process(servers.worker_pid("submit")).num_threads() >= THREADS
