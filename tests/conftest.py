"""Fixtures of several folders: real servers, started once for a whole run, and torch's threads."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest
from structlog.contextvars import clear_contextvars

from functions.shared.config import Settings
from functions.shared.storage import S3Store
from functions.shared.streams.jetstream import JetStream
from tests.harness import RunningStack

pytest_plugins = ["tests.worker_processes", "tests.time_limits"]

# Wall time says little on a busy machine: tests/time_limits.py ends what hangs. Hypothesis would
# also give up where drawing an example is slow.
hypothesis.settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machine")


@pytest.fixture(autouse=True)
def _no_log_fields() -> None:
    """A request that another test made in this thread is over."""
    clear_contextvars()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One torch thread, as in the processes that tests start: synchronizing threads costs most."""
    import torch  # noqa: PLC0415 - seconds, which most of these tests do without

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
