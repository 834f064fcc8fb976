"""A complete stack, shared by the test session: real servers, functions and engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.client import Client
from tests.engines import Engines
from tests.harness import RunningStack
from tests.nats_users import NatsUsersStack

# Shorter than the defaults, so that a takeover fits into a test's time limit.
SETTINGS = {
    "LEASE_SECONDS": "6",
    "LEASE_RENEW_SECONDS": "1",
    "TAKEOVER_GRACE_SECONDS": "2",
}


@pytest.fixture(scope="session")
def kinora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsUsersStack]:
    """A running stack with two replicas of `generate` and the cluster's NATS users."""
    folder = tmp_path_factory.mktemp("kinora")
    stack = NatsUsersStack(folder, SETTINGS, replicas=2, traced=False)
    try:
        stack.start_all()
        yield stack
    finally:
        stack.close()


@pytest.fixture
def client(kinora: RunningStack) -> Client:
    """A client of the gateway of the test's stack."""
    return Client(kinora.url)


@pytest.fixture
def engines(kinora: RunningStack) -> Iterator[Engines]:
    """The engines of all replicas, which are resumed after the test."""
    engines = Engines(kinora)
    yield engines
    engines.resume()
