"""Fixtures that start real servers, once for a whole run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from functions.shared.config import Settings
from functions.shared.storage import S3Store
from functions.shared.streams.jetstream import JetStream
from tests.harness import RunningStack


class LoadByStack(LoadFileScheduling):  # type: ignore[misc]  # which has no types
    """Deals out files, and of end-to-end tests whole folders.

    Those of a folder share a stack, which takes ten seconds of two cores to start. (The groups that
    pytest-xdist has for this are lost with pytest 9.)
    """

    def _split_scope(self, nodeid: str) -> str:
        path = PurePosixPath(nodeid.partition("::")[0])
        return str(path.parent if path.is_relative_to("tests/e2e") else path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadByStack:
    """Use it whenever several processes run the tests."""
    return LoadByStack(config, log)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A NATS server and an object store with streams and bucket, and no functions."""
    stack = RunningStack(tmp_path_factory.mktemp("servers"))
    try:
        stack.start_servers()
        yield stack
    finally:
        stack.close()


@pytest.fixture(scope="session")
def server_settings(servers: RunningStack) -> Settings:
    """The settings of a function that uses these servers."""
    return Settings(
        nats_url=servers.nats_url,
        s3_endpoint=f"http://127.0.0.1:{servers.stack.ports['s3']}",
    )


@pytest.fixture
def jetstream(servers: RunningStack) -> Iterator[JetStream]:
    """A connection to the real NATS server."""
    bus = JetStream(servers.nats_url)
    yield bus
    bus.close()


@pytest.fixture
def s3(
    servers: RunningStack, server_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> S3Store:
    """The real object store."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.credentials.secret_key)
    return S3Store.from_settings(server_settings)
