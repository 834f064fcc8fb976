"""The list of videos stays in step with the streams, also when these are recreated."""

from __future__ import annotations

import pytest

from functions.shared.errors import Unavailable
from functions.shared.subjects import VideoKey
from functions.shared.video.profiles import load_profile
from functions.status.index import VideoIndex
from functions.status.replay import Replay
from tests.fakes import MemoryBus
from tests.patience import wait_until
from tests.unit.events import put_request


@pytest.fixture
def index() -> VideoIndex:
    """An empty index."""
    return VideoIndex(load_profile("demo"), max_age_days=30)


def _listed(index: VideoIndex) -> list[str]:
    page = index.read_page("acme", after=None, limit=10, newest_first=False, since=0)
    return [video["id"] for video in page.videos]


def test_recreated_streams_replace_the_list(bus: MemoryBus, index: VideoIndex) -> None:
    """The index is rebuilt, though new messages reuse the sequences of lost ones."""
    put_request(bus, VideoKey("acme", "lost"))
    replay = Replay(bus, index)
    replay.start()
    replay.check()
    assert _listed(index) == ["lost"]
    bus.lose_all_data()
    put_request(bus, VideoKey("acme", "new"))
    wait_until(lambda: _listed(index) == ["new"], seconds=5, what="the list of the new streams")
    put_request(bus, VideoKey("acme", "later"))
    assert _listed(index) == ["new", "later"]
    replay.check()


def test_an_incomplete_list_is_not_ready(bus: MemoryBus, index: VideoIndex) -> None:
    """A caller must not mistake a part of the list for all of it."""
    with pytest.raises(Unavailable):
        Replay(bus, index).check()
