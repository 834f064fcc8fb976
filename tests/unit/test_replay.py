"""The list of videos is at one with the streams, also after those have lost everything."""

from __future__ import annotations

import pytest

from functions.shared.errors import Unavailable
from functions.shared.subjects import VideoKey
from functions.shared.video.profiles import load_profile
from functions.status.index import Index
from functions.status.replay import Replay
from tests.fakes import MemoryBus
from tests.patience import wait_until
from tests.unit.events import put_request


@pytest.fixture
def index() -> Index:
    """An empty index."""
    return Index(load_profile("demo"), max_age_days=30)


def _listed(index: Index) -> list[str]:
    page = index.page("acme", after=None, limit=10, newest_first=False, since=0)
    return [video["id"] for video in page.videos]


def test_what_was_lost_is_listed_no_more_and_what_came_since_is(
    bus: MemoryBus, index: Index
) -> None:
    """The index begins anew with the streams; messages under the old numbers are new ones."""
    put_request(bus, VideoKey("acme", "lost"))
    replay = Replay(bus, index)
    replay.start()
    replay.check()
    assert _listed(index) == ["lost"]
    bus.lose_all_data()
    put_request(bus, VideoKey("acme", "new"))
    wait_until(lambda: _listed(index) == ["new"], seconds=5, what="the list is that of now")
    put_request(bus, VideoKey("acme", "later"))
    assert _listed(index) == ["new", "later"]
    replay.check()


def test_a_list_that_is_being_read_is_not_ready(bus: MemoryBus, index: Index) -> None:
    """A caller must not take a part of the list for the whole."""
    with pytest.raises(Unavailable):
        Replay(bus, index).check()
