"""Fixtures: servers in memory, and what tests use with them."""

from __future__ import annotations

import pytest

from functions.shared.streams.ledger import Ledger
from functions.shared.subjects import VideoKey
from functions.shared.video.profiles import Profile, load_profile
from tests.fakes import MemoryBus, MemoryStore


@pytest.fixture
def bus() -> MemoryBus:
    """Empty streams."""
    return MemoryBus()


@pytest.fixture
def store() -> MemoryStore:
    """An empty bucket."""
    return MemoryStore()


@pytest.fixture
def ledger(bus: MemoryBus) -> Ledger:
    """A ledger on `bus`."""
    return Ledger(bus, takeover_grace=15)


@pytest.fixture
def profile() -> Profile:
    """The demo model's profile."""
    return load_profile("demo")


@pytest.fixture
def key() -> VideoKey:
    """The key of a video."""
    return VideoKey("acme", "video_1")
