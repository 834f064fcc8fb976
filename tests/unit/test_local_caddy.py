"""The two Caddyfiles, run by the real Caddy in front of small servers of this test."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
import requests

from functions.shared.api.http import OPERATOR_ROUTES
from functions.shared.api.openapi import document
from functions.shared.video.profiles import load_profile
from local.files import prepare
from local.probes import is_ready
from local.processes import processes
from local.stack import Stack
from tests.patience import wait_until
from tests.ports import stack_settings

PARTS = {"POST": "submit", "GET": "status", "HEAD": "status"}
TIMEOUT = 60  # far more than anything here takes, so that a failure is no hang


@dataclass
class Upstream:
    """A server that notes what reaches it, and answers /wait only after `go` is set.

    Once `answers_with` is set, all answers have that status, Content-Type and body.
    """

    name: str
    requests: list[str] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    answers_with: tuple[int, str | None, bytes] | None = None

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request as its path asks for."""
        if not _read_body(handler):
            return
        path = handler.path
        if path != "/readyz":
            self.requests.append(f"{handler.command} {path}")
            self.reached.set()
        if path.endswith("/slam"):
            handler.close_connection = True
            return
        if self.answers_with is not None:
            _send(handler, *self.answers_with)
            return
        handler.send_response(503 if path.endswith("/busy") else 200)
        handler.send_header("X-From", self.name)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(b"first\n")
            if path.endswith("/wait"):
                self.go.wait(TIMEOUT)
            handler.wfile.write(b"last\n")


def _send(
    handler: BaseHTTPRequestHandler, status: int, content_type: str | None, body: bytes
) -> None:
    handler.send_response(status)
    if content_type is not None:
        handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def _read_body(handler: BaseHTTPRequestHandler) -> bool:
    """Read the whole body, as the functions do before they answer; false if it breaks off."""
    if handler.headers.get("Transfer-Encoding") != "chunked":
        length = int(handler.headers.get("Content-Length") or 0)
        return len(handler.rfile.read(length)) == length
    while size := handler.rfile.readline():
        chunk = handler.rfile.read(int(size, 16) + len(b"\r\n"))
        if int(size, 16) == 0:
            return chunk == b"\r\n"
    return False


@contextmanager
def serving(name: str, port: int) -> Iterator[Upstream]:
    upstream = Upstream(name)

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline()
            if self.raw_requestline and self.parse_request():
                upstream.answer(self)
            self.close_connection = True

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield upstream
    finally:
        upstream.go.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running(stack: Stack, name: str) -> Iterator[str]:
    """Run one process of the table until it is ready; give its URL."""
    (process,) = [p for p in processes(stack, prepare(stack)) if p.name == name]
    log = stack.log_of(name)
    with log.open("wb") as output:
        child = subprocess.Popen(
            process.argv, env=process.env, cwd=process.cwd, stdout=output, stderr=output
        )
    try:

        def ready() -> bool:
            assert child.poll() is None, log.read_text()
            return is_ready(process.probe)

        wait_until(ready, seconds=30, what=f"{name} is ready")
        yield f"http://127.0.0.1:{process.probe.port}"
    finally:
        child.kill()
        child.wait()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    data = tmp_path_factory.mktemp("data")
    return Stack.from_environ({**stack_settings(), "KINORA_DATA": str(data)})


@pytest.fixture(scope="module")
def gateway(stack: Stack) -> Iterator[str]:
    """A gateway with nothing behind it, except what a test starts; it remembers no failures."""
    with running(stack, "gateway") as url:
        yield url


@pytest.fixture
def functions(stack: Stack, gateway: str) -> Iterator[str]:
    """A gateway with submit and status behind it."""
    with serving("submit", stack.ports["submit"]), serving("status", stack.ports["status"]):
        yield gateway


@pytest.fixture
def replicas(stack: Stack) -> Iterator[list[Upstream]]:
    with ExitStack() as exits:
        ports = enumerate(stack.ports.generate(), start=1)
        yield [exits.enter_context(serving(f"generate-{n}", port)) for n, port in ports]


@pytest.fixture
def activator(stack: Stack, replicas: list[Upstream]) -> Iterator[str]:
    assert replicas  # before it: it looks at their readiness at its start
    with running(stack, "activator") as url:
        yield url


@pytest.mark.parametrize(
    ("method", "path", "function"),
    [
        ("POST", "/v1/videos", "submit"),
        ("POST", "/v1/videos/video_1/cancel", "submit"),
        ("POST", "/v1/videos/video_1/remix", "submit"),
        ("DELETE", "/v1/videos/video_1", "submit"),
        ("POST", "/", "submit"),
        ("PUT", "/", "submit"),
        ("TRACE", "/v1/videos", "submit"),
        ("GET", "/v1/videos", "status"),
        ("GET", "/openapi.json", "status"),
        ("HEAD", "/v1/videos/video_1/content", "status"),
        ("OPTIONS", "/v1/videos", "status"),
        ("OPTIONS", "/", "submit"),
        ("GET", "/v1/events?video_id=video_1", "status"),
    ],
)
def test_routes(functions: str, method: str, path: str, function: str) -> None:
    """What changes something goes to submit, what reads goes to status."""
    answer = requests.request(method, functions + path, timeout=TIMEOUT)
    assert answer.headers["X-From"] == function


def test_every_documented_path_is_reachable(functions: str) -> None:
    """The OpenAPI document describes what the gateway routes to a function, preflights included."""
    for path, item in document(load_profile("demo"))["paths"].items():
        for method in (*(item.keys() & {"get", "head", "post", "delete"}), "options"):
            answer = requests.request(
                method, functions + path.replace("{video_id}", "video_1"), timeout=TIMEOUT
            )
            assert answer.headers.get("X-From") in {"submit", "status"}, (method, path)


def test_routes_for_operators_are_not_reachable(functions: str) -> None:
    """Metrics and probes of the functions are for the cluster alone."""
    for path in OPERATOR_ROUTES:
        answer = requests.get(functions + path, timeout=TIMEOUT)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), path


def test_health_is_that_of_submit_and_status(functions: str) -> None:
    """200 when both are available."""
    answer = requests.get(f"{functions}/health", timeout=TIMEOUT)
    assert (answer.status_code, answer.headers["X-From"]) == (200, "status")


@pytest.mark.parametrize("unavailable", ["submit", "status"])
def test_health_says_what_is_unavailable(stack: Stack, gateway: str, unavailable: str) -> None:
    """The reason comes from the function, whichever it is."""
    with (
        serving("submit", stack.ports["submit"]) as submit,
        serving("status", stack.ports["status"]) as status,
    ):
        reason = b'{"status":"unavailable","reason":"NATS has stopped storing messages"}'
        wrong = submit if unavailable == "submit" else status
        wrong.answers_with = (503, "application/json", reason)
        answer = requests.get(f"{gateway}/health", timeout=TIMEOUT)
    assert (answer.status_code, answer.content) == (503, reason)


def test_health_without_functions_is_unavailable(gateway: str) -> None:
    """503, in the form of every error."""
    answer = requests.get(f"{gateway}/health", timeout=TIMEOUT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


def test_what_is_no_route_is_not_found(gateway: str) -> None:
    """Unknown paths, and files of the UI's folder that are no part of the UI, are 404."""
    for path in ("/nothing", "/Caddyfile", "/Dockerfile", "/v2/videos"):
        answer = requests.get(gateway + path, timeout=TIMEOUT)
        assert answer.status_code == 404, path
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.json()["error"]["code"] == "not_found", "as a function would say it"


def test_the_gateways_own_errors_have_the_apis_codes(functions: str) -> None:
    """A program that tells them apart need not know who answers."""
    wrong = requests.put(f"{functions}/index.html", timeout=TIMEOUT)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    large = requests.get(f"{functions}/v1/videos", data=b"x" * (600 << 10), timeout=TIMEOUT)
    assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")


def test_the_page_is_checked_for_news_and_locked_down(gateway: str) -> None:
    """The page is cached only with its ETag, and may load nothing from elsewhere."""
    answer = requests.get(gateway, timeout=TIMEOUT)
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    etag = {"If-None-Match": answer.headers["ETag"]}
    assert requests.get(gateway, headers=etag, timeout=TIMEOUT).status_code == 304


def test_a_function_that_is_down_is_503_in_the_apis_own_form(gateway: str) -> None:
    """A client reads the error as it reads all others, and when to try again."""
    answer = requests.post(f"{gateway}/v1/videos", json={}, timeout=TIMEOUT)
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/json"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["X-Request-Id"]
    error = answer.json()["error"]
    assert error.pop("message")
    assert error == {"type": "server_error", "param": None, "code": "unavailable"}


def test_a_body_in_chunks_that_can_not_be_read_is_the_callers_mistake(functions: str) -> None:
    """Not an outage: sending it again would never help."""
    port = urlsplit(functions).port
    head = b"POST /v1/videos HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for chunks in (b"zz\r\n{}\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n{}"):
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
            connection.sendall(head + chunks)
            connection.shutdown(socket.SHUT_WR)
            answer = HTTPResponse(connection)
            answer.begin()
            error = json.load(answer)["error"]
        assert (answer.status, error["code"]) == (400, "bad_request")
        assert answer.headers["Retry-After"] is None


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_functions_own_503_passes_through(
    stack: Stack, gateway: str, method: str, status: int
) -> None:
    """It says more than the gateway could."""
    part, body = PARTS[method], b'{"error":{"message":"NATS does not answer."}}'
    with serving(part, stack.ports[part]) as upstream:
        upstream.answers_with = (status, "application/json", body)
        answer = requests.request(method, f"{gateway}/v1/videos", timeout=TIMEOUT)
    assert (answer.status_code, answer.content) == (status, body)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/videos"), ("GET", "/v1/videos"), ("HEAD", "/v1/videos"), ("GET", "/health")],
)
@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (504, "text/plain; charset=utf-8", b"activator request timeout\n"),
        (503, "text/plain", b"upstream connect error or disconnect/reset before headers."),
        (502, "text/plain; charset=utf-8", b"dial tcp 10.244.0.9:8012: connect: refused\n"),
        (502, "text/html", b"<h1>502 Bad Gateway</h1>"),
        (503, None, b""),
    ],
)
def test_an_error_of_knative_becomes_the_apis(
    stack: Stack, gateway: str, method: str, path: str, status: int, content_type: str, body: bytes
) -> None:
    """A client that parses errors can parse this one, and knows when to try again."""
    part = "submit" if path == "/health" else PARTS[method]
    with serving(part, stack.ports[part]) as upstream:
        upstream.answers_with = (status, content_type, body)
        answer = requests.request(method, f"{gateway}{path}", timeout=TIMEOUT)
        assert upstream.requests == [f"{method} {path}"]
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/json"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["X-Request-Id"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if method != "HEAD":
        error = answer.json()["error"]
        assert error.pop("message")
        assert error == {"type": "server_error", "param": None, "code": "unavailable"}


def test_streams_are_not_held_back(stack: Stack, gateway: str) -> None:
    """The first line of an answer arrives while the second is not written yet."""
    with (
        serving("status", stack.ports["status"]) as status,
        requests.get(f"{gateway}/v1/wait", stream=True, timeout=TIMEOUT) as answer,
    ):
        lines = answer.iter_lines(chunk_size=1)
        assert next(lines) == b"first"
        status.go.set()
        assert next(lines) == b"last"


def occupy(activator: str, replicas: list[Upstream]) -> list[threading.Thread]:
    """Give every replica a request that does not end yet."""
    threads = []
    for _ in replicas:
        args = (f"{activator}/wait",)
        threads.append(
            threading.Thread(target=requests.post, args=args, kwargs={"timeout": TIMEOUT})
        )
        threads[-1].start()
        while sum(len(r.requests) for r in replicas) < len(threads):
            any(r.reached.wait(0.01) for r in replicas)
    return threads


def test_each_replica_has_one_request_and_others_wait(
    activator: str, replicas: list[Upstream]
) -> None:
    """Two long requests go to two replicas; a third reaches the one that is free first."""
    threads = occupy(activator, replicas)
    assert [replica.requests for replica in replicas] == [["POST /wait"]] * 2
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{activator}/gone", data=b"event", timeout=0.5)
    replicas[0].go.set()
    answer = requests.post(f"{activator}/third", timeout=TIMEOUT)
    assert answer.headers["X-From"] == "generate-1"
    replicas[1].go.set()
    for thread in threads:
        thread.join()
    # Nobody gets the request of a caller who has gone.
    assert "POST /gone" not in replicas[0].requests + replicas[1].requests


def test_what_reached_a_replica_is_never_sent_to_another(
    activator: str, replicas: list[Upstream]
) -> None:
    """A replica that breaks the connection may have started the video: the caller must look."""
    answer = requests.post(f"{activator}/slam", data=b"event", timeout=TIMEOUT)
    assert answer.status_code == 502
    assert sum(len(replica.requests) for replica in replicas) == 1


def test_a_replicas_503_passes_through(activator: str, replicas: list[Upstream]) -> None:
    """A busy replica's refusal is the caller's to handle, as it is behind Knative."""
    assert requests.post(f"{activator}/busy", timeout=TIMEOUT).status_code == 503
    assert sum(len(replica.requests) for replica in replicas) == 1
