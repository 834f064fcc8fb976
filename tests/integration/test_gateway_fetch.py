"""The gateway sends videos from the object store: the real Caddy, and a store of this test."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer
from typing import Final

import pytest
import requests
import trustme
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from functions.shared.config import Settings
from functions.shared.errors import ContentLost
from functions.shared.storage import StoredFile
from local.files import prepare
from local.probes import is_ready
from local.processes import processes
from local.stack import Stack
from tests.contract.api import complete, make_api
from tests.fakes import MemoryStore
from tests.patience import wait_until
from tests.ports import stack_settings

FILE: Final = b"0123456789"
TIMEOUT: Final = 60  # far more than anything here takes, so that a failure is no hang


@dataclass
class ObjectStore:
    """Serves `FILE` by range, with headers of its own, or answers `refuses_with`."""

    url: str = ""
    refuses_with: int | None = None
    seen: list[dict[str, str]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one GET."""
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.seen.append({"path": handler.path, **headers})
        if self.refuses_with is not None:
            handler.send_response(self.refuses_with)
            handler.send_header("Content-Type", "application/xml")
            handler.send_header("Content-Length", "8")
            handler.end_headers()
            handler.wfile.write(b"<Error/>")
            return
        first, _, last = handler.headers["Range"].removeprefix("bytes=").partition("-")
        part = FILE[int(first) : int(last) + 1]
        handler.send_response(206)
        for name, value in (
            ("Content-Range", f"bytes {first}-{last}/{len(FILE)}"),
            ("Content-Length", str(len(part))),
            ("Content-Type", "binary/octet-stream"),
            ("ETag", '"of the store"'),
            ("Last-Modified", "Sat, 21 Nov 2026 12:00:00 GMT"),
            ("Access-Control-Allow-Origin", "*"),
            ("x-amz-request-id", "1"),
        ):
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(part)


class SignedStore(MemoryStore):
    """A bucket in memory whose signed URLs lead to an `ObjectStore`."""

    def __init__(self, server: ObjectStore) -> None:
        super().__init__()
        self.server = server
        self.opened = 0

    def signed_url(self, key: str) -> str:
        """See `Store.signed_url`."""
        return f"{self.server.url}/kinora/{key}?X-Amz-Credential=a%2Fb&X-Amz-Signature=1"

    def get(self, key: str, byte_range: str | None = None) -> StoredFile:
        """See `Store.get`."""
        self.opened += 1
        return super().get(key, byte_range)


@contextmanager
def _running(server: BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _serving(answer: ObjectStore, tls: ssl.SSLContext | None) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer.answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    answer.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    with _running(server):
        yield


@contextmanager
def _status(client: FlaskClient, port: int) -> Iterator[None]:
    server = make_server("127.0.0.1", port, client.application, threaded=True)
    with _running(server):
        yield


@contextmanager
def _gateway(stack: Stack, authorities: Path) -> Iterator[str]:
    (process,) = [p for p in processes(stack, prepare(stack)) if p.name == "gateway"]
    env = {**process.env, "SSL_CERT_FILE": str(authorities)}
    with stack.log_of("gateway").open("wb") as log:
        child = subprocess.Popen(process.argv, env=env, cwd=process.cwd, stdout=log, stderr=log)
    try:
        wait_until(lambda: is_ready(process.probe), seconds=30, what="the gateway is ready")
        yield f"http://127.0.0.1:{process.probe.port}"
    finally:
        child.kill()
        child.wait()


@dataclass
class Scene:
    """A completed video, `video`, at the gateway's `url`."""

    url: str
    server: ObjectStore
    store: SignedStore

    def get(self, method: str = "GET", **headers: str) -> requests.Response:
        """Request its file."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(
            method, f"{self.url}/v1/videos/v1/content", headers=names, timeout=TIMEOUT
        )


@pytest.fixture(scope="module", params=["http", "https"])
def parts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Everything, once for each scheme of the object store."""
    folder = tmp_path_factory.mktemp("gateway")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    server = ObjectStore()
    stack = Stack.from_environ({**stack_settings(), "KINORA_DATA": str(folder / "data")})
    store = SignedStore(server)
    api = make_api(Settings(cors_origins="http://page.example"), store)
    complete(api)
    with (
        _serving(server, tls if request.param == "https" else None),
        _status(api.status, stack.ports["status"]),
        _gateway(stack, folder / "ca.pem") as url,
    ):
        yield Scene(url, server, store)


@pytest.fixture
def scene(parts: Scene) -> Scene:
    """The same, as it was at first."""
    parts.server.seen.clear()
    parts.server.refuses_with = None
    parts.store.opened = 0
    return parts


@pytest.mark.parametrize(
    ("headers", "status", "content", "content_range"),
    [
        ({}, 200, FILE, None),
        ({"Range": "bytes=2-4"}, 206, b"234", "bytes 2-4/10"),
        ({"Range": "bytes=8-99"}, 206, b"89", "bytes 8-9/10"),
        ({"Range": "bytes=7-"}, 206, b"789", "bytes 7-9/10"),
        ({"Range": "bytes=-3"}, 206, b"789", "bytes 7-9/10"),
        ({"Range": "bytes=-99"}, 206, FILE, "bytes 0-9/10"),
        ({"Range": "bytes=0-1,4-5"}, 200, FILE, None),
        ({"Range": "bytes=2-4", "If_Range": '"other"'}, 200, FILE, None),
        ({"If_None_Match": '"other"'}, 200, FILE, None),
    ],
)
def test_a_video_comes_from_the_store_with_the_headers_of_status(
    scene: Scene,
    headers: dict[str, str],
    status: int,
    content: bytes,
    content_range: str | None,
) -> None:
    """No thread of `status` waits for its reader, who can't tell the difference."""
    found = scene.get(**headers)
    assert (found.status_code, found.content) == (status, content)
    assert found.headers.get("Content-Range") == content_range
    assert found.headers["Content-Length"] == str(len(content))
    assert scene.store.opened == 0
    head = scene.get("HEAD", Origin="http://page.example")
    whole = scene.get(Origin="http://page.example")
    assert scene.store.opened == 1, "HEAD is answered by status"
    own = {"date", "via", "x-request-id"}
    told = [
        {name.lower(): value for name, value in answer.headers.items()} for answer in (head, whole)
    ]
    assert [{n: v for n, v in t.items() if n not in own} for t in told[:1]] == [
        {n: v for n, v in t.items() if n not in own} for t in told[1:]
    ]


def test_the_store_sees_nothing_of_the_caller(scene: Scene) -> None:
    """Neither its key nor its address; and the host and query that were signed."""
    found = scene.get(
        Authorization="Bearer secret", Cookie="a=b", If_Modified_Since="x", X_Amz_Meta_A="b"
    )
    assert found.content == FILE
    (seen,) = scene.server.seen
    assert seen.pop("path").endswith("/video.mp4?X-Amz-Credential=a%2Fb&X-Amz-Signature=1")
    assert seen.pop("host") == scene.server.url.partition("//")[2]
    assert seen.pop("range") == "bytes=0-9"
    assert not seen.keys() - {"via", "user-agent", "accept-encoding"}


def test_what_status_refuses_reaches_no_store(scene: Scene) -> None:
    """416, 412, 304 and 404 are those of `status`."""
    beyond = scene.get(Range="bytes=10-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */10")
    etag = scene.get("HEAD").headers["ETag"]
    assert scene.get(If_None_Match=etag).status_code == 304
    assert scene.get(If_Match='"other"').status_code == 412
    unknown = requests.get(f"{scene.url}/v1/videos/unknown/content", timeout=TIMEOUT)
    assert unknown.json()["error"]["code"] == "video_not_found"
    assert scene.server.seen == []


def test_a_small_file_is_sent_by_status(scene: Scene) -> None:
    """It fits into the buffers on the way."""
    url = f"{scene.url}/v1/videos/v1/content?variant=thumbnail"
    found = requests.get(url, timeout=TIMEOUT)
    assert (found.content, found.headers["Content-Type"]) == (b"jpeg", "image/jpeg")
    assert scene.server.seen == []


def test_a_file_that_the_store_lost_is_the_error_of_status(scene: Scene) -> None:
    """With nothing of the headers of a file."""
    scene.server.refuses_with = 404
    for headers in ({}, {"Range": "bytes=2-4"}):
        found = scene.get(**headers)
        assert (found.status_code, found.json()) == (ContentLost.status, ContentLost().body())
        assert found.headers["Content-Type"] == "application/json"
        assert not found.headers.keys() & {"ETag", "Content-Disposition", "Content-Range"}


@pytest.mark.parametrize("status", [301, 400, 403, 500, 503])
def test_a_store_that_refuses_is_unavailable(scene: Scene, status: int) -> None:
    """503 with a time to retry; nobody follows a redirection with what was signed."""
    scene.server.refuses_with = status
    found = scene.get()
    assert (found.status_code, found.headers["Retry-After"]) == (503, "2")
    error = found.json()["error"]
    assert error["code"] == "unavailable"
    assert "object store" in error["message"]
    assert not found.headers.keys() & {"ETag", "Content-Disposition", "Content-Range"}


def test_without_a_store_a_video_is_unavailable(scene: Scene) -> None:
    """In the form of every error."""
    url, scene.server.url = scene.server.url, "http://127.0.0.1:1"
    try:
        found = scene.get()
    finally:
        scene.server.url = url
    assert (found.status_code, found.json()["error"]["code"]) == (503, "unavailable")
    assert "object store" in json.dumps(found.json())


def test_a_caller_can_not_name_the_object(scene: Scene) -> None:
    """The headers between status and the gateway mean nothing when a caller sends them."""
    found = scene.get(
        X_Accel_Redirect="/other", X_Accel_Scheme="http", X_Sendfile_Type="X-Sendfile"
    )
    assert found.content == FILE
    assert "other" not in scene.server.seen[0]["path"]
    assert not [name for name in found.headers if name.lower().startswith("x-accel")]
