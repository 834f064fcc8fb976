"""NATS and the object store as the overlay `kind` starts them, with the Secrets of secrets.sh."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import nats
import nats.errors
import psutil
import pytest
import requests

from functions.shared.errors import Unavailable
from functions.shared.storage import S3Store
from functions.shared.streams.nats_address import client_options
from local.files import Credentials
from tests.fake_cluster import FakeCluster
from tests.manifest_stack import ManifestStack
from tests.manifests import container_of, find, settings_of
from tests.nats_users import USERS
from tests.patience import scaled, wait_until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> FakeCluster:
    """A cluster in which secrets.sh has created the Secrets."""
    made = FakeCluster(tmp_path_factory.mktemp("cluster"))
    done = made.run("secrets.sh")
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, cluster: FakeCluster
) -> Iterator[ManifestStack]:
    """Both servers, and what the set-up Job creates in them."""
    keys = cluster.secret("s3")
    running = ManifestStack(
        tmp_path_factory.mktemp("rendered"),
        passwords=cluster.secret("nats"),
        credentials=Credentials(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"]),
    )
    try:
        running.start_servers()
        yield running
    finally:
        running.close()


def _store(
    stack: ManifestStack, secret: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> S3Store:
    """The client of a function whose Secret `s3` has these keys."""
    for name, value in secret.items():
        monkeypatch.setenv(name, value)
    deployed = settings_of(stack.objects, container_of(stack.objects, "generate"))
    address = f"http://127.0.0.1:{stack.stack.ports['s3']}"
    return S3Store.from_settings(deployed.model_copy(update={"s3_endpoint": address}))


def _probe(stack: ManifestStack, kind: str) -> int:
    """The status of a probe of the object store's pod."""
    pod = find(stack.objects, "StatefulSet", "s3")["spec"]["template"]["spec"]
    path = pod["containers"][0][kind]["httpGet"]["path"]
    url = f"http://127.0.0.1:{stack.stack.ports['s3']}{path}"
    return requests.get(url, timeout=scaled(5)).status_code


def test_the_generated_passwords_open_nats(stack: ManifestStack) -> None:
    """Each user has its own; another user's is refused, and so is a caller without one."""
    for user in USERS:
        asyncio.run(_connect(stack.nats_url_of(user)))
    stolen = stack.nats_url_of("submit").replace("submit:", "operator:")
    for url in (stolen, stack.nats_url):
        with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
            asyncio.run(_connect(url))


async def _connect(url: str) -> None:
    client = await nats.connect(
        **client_options(url), allow_reconnect=False, connect_timeout=int(scaled(5))
    )
    await client.close()


def test_the_generated_keys_open_the_object_store(
    stack: ManifestStack, cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set-up Job has created the bucket; other keys, and callers without any, are refused."""
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    key = "default/video_1/1-x/video.mp4"
    store = _store(stack, cluster.secret("s3"), monkeypatch)
    store.put(key, file, "video/mp4")
    assert b"".join(store.get(key, None).chunks) == b"0123456789"
    wrong = cluster.secret("s3") | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    with pytest.raises(Unavailable):
        _store(stack, wrong, monkeypatch).put(key, file, "video/mp4")
    anonymous = requests.get(f"http://127.0.0.1:{stack.stack.ports['s3']}/", timeout=scaled(5))
    assert anonymous.status_code == 403


def test_the_object_store_keeps_its_files_when_its_pod_is_replaced(
    stack: ManifestStack, cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops within its grace period, and its probes succeed once it serves again."""
    file = tmp_path / "file"
    file.write_bytes(b"kept")
    store = _store(stack, cluster.secret("s3"), monkeypatch)
    store.put("default/kept", file, "video/mp4")
    pod = find(stack.objects, "StatefulSet", "s3")["spec"]["template"]["spec"]
    stack.stop("s3", seconds=pod["terminationGracePeriodSeconds"])
    stack.start("s3")
    wait_until(lambda: _read(store, "default/kept") == b"kept", seconds=60, what="the file is read")
    assert _probe(stack, "readinessProbe") == _probe(stack, "livenessProbe") == 200


def _read(store: S3Store, key: str) -> bytes | None:
    """The file; None while the store's parts find each other after a start."""
    try:
        return b"".join(store.get(key, None).chunks)
    except Unavailable:
        return None


def test_the_object_store_listens_only_where_it_is_told(stack: ManifestStack) -> None:
    """Only S3 asks for keys, so every other part stays inside the pod, and none is unknown."""
    process = psutil.Process(stack.running["s3"].pid)
    listening = [
        one.laddr
        for part in (process, *process.children(recursive=True))
        for one in part.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    ]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    ports = stack.stack.ports
    named = {ports[f"{part}{kind}"] for part in ("master", "volume", "filer", "s3")
             for kind in ("", "-grpc")}  # fmt: skip
    assert ports["s3"] in {address.port for address in listening} <= named
