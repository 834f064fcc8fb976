"""Fixtures in memory."""

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
    """The ledger over `bus`."""
    return Ledger(bus, takeover_grace=15)


@pytest.fixture
def profile() -> Profile:
    """What the demo model can make."""
    return load_profile("demo")


@pytest.fixture
def key() -> VideoKey:
    """A video."""
    return VideoKey("acme", "video_1")
