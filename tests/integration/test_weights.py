"""Downloading weights, from a server with the hub's API."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from functions.generate.engine.model.checkpoint import locate_checkpoint
from local.stack import ROOT
from tests.patience import scaled

CHECKPOINT = ROOT / "functions" / "generate" / "demo" / "checkpoint"
LARGE = "transformer/diffusion_pytorch_model.safetensors"
# A partial download is written in blocks of 10 MiB, so this takes several.
HUGE = "tokenizer/huge.bin"
COMMIT = "a" * 40


@dataclass
class Hub:
    """A repository of one model.

    Attributes:
        files: the contents, by name.
        interrupt: the name of a file whose first download is interrupted in the middle.
        corrupt: how many more times each file is sent with a wrong byte.
        ranges: the ranges that were requested.
        sent: how many times each file was requested.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    interrupt: str | None = None
    corrupt: Counter[str] = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)

    def listing(self) -> dict[str, Any]:
        """The hub's description of the files."""
        siblings = []
        for name, data in self.files.items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(data)}
            git = hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False)
            entry["blobId"] = git.hexdigest()
            if len(data) > 1 << 16:
                sha256 = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        return {"id": "genmo/mochi-1-preview", "sha": COMMIT, "siblings": siblings}


class HubHandler(BaseHTTPRequestHandler):
    """The two kinds of URL that a download requests."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        """Send a file's headers."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """Send a file."""
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/"):
            self._send(200, json.dumps(self.hub.listing()).encode(), {}, body=body)
            return
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        data = self.hub.files.get(name)
        if data is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, body=body)
        else:
            self._file(name, data, body=body)

    def _file(self, name: str, data: bytes, *, body: bool) -> None:
        etag = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if body:
            self.hub.sent[name] += 1
            if self.hub.corrupt[name] > 0:
                self.hub.corrupt[name] -= 1
                data = bytes([data[0] ^ 1]) + data[1:]
        requested = self.headers.get("range")
        if requested is None or not body:
            self._send(200, data, headers, body=body, cut=body and name == self.hub.interrupt)
            return
        self.hub.ranges.append(requested)
        start = int(requested.removeprefix("bytes=").partition("-")[0])
        headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(206, data[start:], headers, body=body)

    def _send(
        self,
        status: int,
        data: bytes,
        headers: dict[str, str],
        *,
        body: bool,
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if cut:
            self.hub.interrupt = None
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif body:
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    """The demo checkpoint as a repository, with files that the engine does not read."""
    state = Hub()
    for path in sorted(CHECKPOINT.rglob("*")):
        if path.is_file():
            state.files[path.relative_to(CHECKPOINT).as_posix()] = path.read_bytes()
    state.files[HUGE] = random.Random(0).randbytes(24 << 20)
    state.files["dit.safetensors"] = b"the same in another format"
    state.files["text_encoder/pytorch_model.bin"] = b"pickled"

    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (HubHandler,), {"hub": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def _fetch(hub: Hub, folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder.parent),
        "HF_ENDPOINT": hub.url,
        "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "functions.generate.weights", str(folder)],
        cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=scaled(120),
    )  # fmt: skip


def _tree(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts
    }


def _read_by_the_engine(folder: Path) -> set[str]:
    weights = locate_checkpoint(str(folder)).weights.values()
    return {path.relative_to(folder).as_posix() for paths in weights for path in paths}


def test_only_files_that_the_engine_reads_are_downloaded(hub: Hub, tmp_path: Path) -> None:
    """The folder can be loaded; a second run downloads nothing."""
    folder = tmp_path / "weights"
    done = _fetch(hub, folder)
    assert done.returncode == 0, done.stderr
    assert _tree(folder) == set(hub.files) - {"dit.safetensors", "text_encoder/pytorch_model.bin"}
    assert _read_by_the_engine(folder) == _read_by_the_engine(CHECKPOINT)
    before = hub.sent.total()
    assert _fetch(hub, folder).returncode == 0
    assert hub.sent.total() == before


def test_an_interrupted_download_resumes(hub: Hub, tmp_path: Path) -> None:
    """The half that is there is not downloaded again."""
    hub.interrupt = HUGE
    folder = tmp_path / "weights"
    done = _fetch(hub, folder)
    if done.returncode:  # the Job's next pod
        done = _fetch(hub, folder)
    assert done.returncode == 0, done.stderr
    assert hub.ranges
    assert int(hub.ranges[0].removeprefix("bytes=").rstrip("-")) > 0
    assert (folder / HUGE).read_bytes() == hub.files[HUGE]


def test_a_file_with_a_wrong_checksum_is_downloaded_again(hub: Hub, tmp_path: Path) -> None:
    """A file that a disk or a proxy has corrupted is replaced."""
    hub.corrupt[LARGE] = 1
    folder = tmp_path / "weights"
    done = _fetch(hub, folder)
    assert done.returncode == 0, done.stderr
    assert (folder / LARGE).read_bytes() == hub.files[LARGE]
    assert hub.sent[LARGE] == 2


def test_a_permanently_corrupt_file_fails_the_download(hub: Hub, tmp_path: Path) -> None:
    """The Job fails with the file's name, and no replica accepts the folder as a model."""
    hub.corrupt[LARGE] = 100
    folder = tmp_path / "weights"
    done = _fetch(hub, folder)
    assert done.returncode == 1
    assert LARGE in done.stderr
    assert not (folder / "model_index.json").exists()
    assert not (folder / LARGE).exists()
