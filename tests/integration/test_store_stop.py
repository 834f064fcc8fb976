"""The object store as its manifest runs it, stopped and started again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.shared.errors import Unavailable
from functions.shared.storage import S3Store
from tests.manifest_stack import ManifestStack
from tests.manifests import find
from tests.patience import wait_until

KEY = "acme/video_1/1-x/video.mp4"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[ManifestStack]:
    """A stack of which only the object store is started."""
    stack = ManifestStack(tmp_path)
    try:
        stack.start("s3")
        yield stack
    finally:
        stack.close()


def test_the_store_stops_within_its_grace_period_and_keeps_its_files(
    stack: ManifestStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every restart is an outage, so it waits for no other volume servers: there are none."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", stack.credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", stack.credentials.secret_key)
    endpoint = f"http://127.0.0.1:{stack.stack.ports['s3']}"
    store = S3Store("kinora", endpoint=endpoint, region="us-east-1")
    store.create_bucket()
    path = tmp_path / "file"
    path.write_bytes(b"kept")
    store.put(KEY, path, "video/mp4")
    pod = find(stack.objects, "StatefulSet", "s3")["spec"]["template"]["spec"]
    stack.stop("s3", seconds=pod["terminationGracePeriodSeconds"])
    # Its own words, since the time that it takes depends on this machine's load.
    assert "wait 0 seconds until shutdown" in stack.stack.log_of("s3").read_text()
    stack.start("s3")
    wait_until(lambda: _read(store) == b"kept", seconds=30, what="the file is served again")


def _read(store: S3Store) -> bytes:
    """The file; empty while the server starts, which listens before it can read."""
    try:
        return b"".join(store.get(KEY).chunks)
    except Unavailable:
        return b""
