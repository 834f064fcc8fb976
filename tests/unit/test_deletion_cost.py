"""Deletion costs of busy replicas, with a server that handles PATCH as Kubernetes' does."""

from __future__ import annotations

import json
import logging
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from functions.dispatch.requests import deletion_cost
from functions.dispatch.requests.deletion_cost import ANNOTATION, DeletionCosts
from functions.dispatch.requests.sink import WORKER_HEADER, HttpSink, SinkOutcome
from functions.shared.streams.cloudevents import read_nats
from functions.shared.subjects import REQUESTS, VideoKey
from tests.fakes import MemoryBus
from tests.patience import wait_until
from tests.unit.events import put_request


@dataclass
class ApiServer:
    """Pods with annotations that an authorised caller may patch.

    Attributes:
        pods: the annotations of each pod that exists.
        token: the bearer token that is accepted.
        requests: how many requests came.
    """

    url: str
    pods: dict[str, dict[str, str]] = field(default_factory=dict)
    token: str = "right"  # noqa: S105 - of this server only
    requests: int = 0

    def patch(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Merge `body` (RFC 7386) into a pod's annotations; returns the status."""
        self.requests += 1
        *folder, pod = path.split("/")
        if headers.get("authorization") != f"Bearer {self.token}":
            return 403
        if "/".join(folder) != "/api/v1/namespaces/here/pods" or pod not in self.pods:
            return 404
        if headers.get("content-type") != "application/merge-patch+json":
            return 415
        for name, value in json.loads(body)["metadata"]["annotations"].items():
            self.pods[pod].pop(name, None)
            if value is not None:
                self.pods[pod][name] = value
        return 200


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """The service account's files, as Kubernetes mounts them into a pod."""
    (tmp_path / "namespace").write_text("here")
    (tmp_path / "token").write_text("right\n")
    return tmp_path


@pytest.fixture
def api(account: Path) -> Iterator[ApiServer]:
    """An API server on 127.0.0.1, with a certificate of the cluster's own authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(account / "ca.crt"))
    state = ApiServer("")

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(state.patch(self.path, headers, body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    state.url = f"https://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_replica_is_annotated_while_it_is_busy(api: ApiServer, account: Path) -> None:
    """The annotation is removed afterwards, also after an exception."""
    api.pods["generate-1"] = {"other": "stays"}
    busy = DeletionCosts(api.url, account).busy("generate-1")
    busy.__enter__()
    assert api.pods["generate-1"] == {"other": "stays", ANNOTATION: "100"}
    problem = RuntimeError()
    assert not busy.__exit__(type(problem), problem, None)
    assert api.pods["generate-1"] == {"other": "stays"}


def test_the_replica_that_responds_is_the_one_that_is_annotated(
    api: ApiServer, account: Path, bus: MemoryBus, key: VideoKey
) -> None:
    """A header of the response names the pod; the annotation lasts as long as the response."""
    api.pods["generate-1"] = {}
    during: list[dict[str, str]] = []

    class Generate(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header(WORKER_HEADER, "generate-1")
            self.end_headers()
            annotated = lambda: ANNOTATION in api.pods["generate-1"]  # noqa: E731 - as a condition
            wait_until(annotated, seconds=10, what="the pod is annotated")
            during.append(dict(api.pods["generate-1"]))

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Generate)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        sink = HttpSink(
            f"http://127.0.0.1:{server.server_port}",
            first_byte_seconds=10,
            silence_seconds=10,
            extensions={},
            deletion_costs=DeletionCosts(api.url, account),
        )
        put_request(bus, key)
        message = bus.get_last_message(REQUESTS, key.request_subject, leader=True)
        assert message is not None
        response = sink.send_request(message, read_nats(message.headers, message.data))
        assert response.outcome is SinkOutcome.CLOSED
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert during == [{ANNOTATION: "100"}]
    assert api.pods["generate-1"] == {}


def test_a_rotated_token_is_used(api: ApiServer, account: Path) -> None:
    """Kubernetes replaces the token's file every hour."""
    api.pods["generate-1"] = {}
    costs = DeletionCosts(api.url, account)
    api.token = "newer"  # noqa: S105 - of this server only
    (account / "token").write_text("newer")
    with costs.busy("generate-1"):
        assert ANNOTATION in api.pods["generate-1"]


def test_without_the_right_it_says_so_once_and_goes_on(
    api: ApiServer, account: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A cluster that gives no such right makes videos all the same."""
    api.pods["generate-1"] = {}
    (account / "token").write_text("wrong")
    costs = DeletionCosts(api.url, account)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with costs.busy("generate-1"):
                pass
    assert api.pods["generate-1"] == {}
    assert len([r for r in caplog.records if r.name == deletion_cost.__name__]) == 1
    assert "403" in caplog.text


def test_an_unreachable_api_server_is_only_logged(
    account: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An outage of the control plane stops no video."""
    trustme.CA().cert_pem.write_to_path(str(account / "ca.crt"))
    with DeletionCosts("https://127.0.0.1:9", account).busy("generate-1"):
        pass
    assert "ConnectError" in caplog.text


@pytest.mark.parametrize("pod", [None, "", "../secrets/x", "a/b", "A", "-a", "a" * 254])
def test_an_invalid_pod_name_is_not_requested(
    api: ApiServer, account: Path, pod: str | None
) -> None:
    """The name comes from a response, and must not address anything else in the API."""
    with DeletionCosts(api.url, account).busy(pod):
        pass
    assert api.requests == 0


def test_outside_a_cluster_nothing_is_annotated() -> None:
    """`make run` has no API server."""
    assert DeletionCosts.of_cluster({}) is None
