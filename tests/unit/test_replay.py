"""The list of videos stays in step with the streams, also when these are recreated."""

from __future__ import annotations

import pytest

from functions.shared.errors import Unavailable
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.video.events import Deleted, EventName
from functions.shared.video.profiles import load_profile
from functions.status.index import VideoIndex
from functions.status.lost_messages import LostMessages
from functions.status.replay import Replay
from tests.fakes import MemoryBus
from tests.patience import wait_until
from tests.unit.events import CREATED, completed, publish, put_request, started


@pytest.fixture
def index() -> VideoIndex:
    """An empty index."""
    return VideoIndex(load_profile("demo"), max_age_days=30)


@pytest.fixture
def lost_messages(
    bus: MemoryBus, index: VideoIndex, monkeypatch: pytest.MonkeyPatch
) -> LostMessages:
    """A comparison that may be repeated at once."""
    monkeypatch.setattr("functions.status.lost_messages.PAUSE_FACTOR", 0)
    return LostMessages(bus, index, max_age_days=30)


def _replay(bus: MemoryBus, index: VideoIndex) -> Replay:
    return Replay(bus, index, LostMessages(bus, index, max_age_days=30))


def _listed(index: VideoIndex) -> list[str]:
    page = index.read_page("acme", after=None, limit=10, newest_first=False, since=0)
    return [video["id"] for video in page.videos]


def test_recreated_streams_replace_the_list(bus: MemoryBus, index: VideoIndex) -> None:
    """The index is rebuilt, though new messages reuse the sequences of lost ones."""
    put_request(bus, VideoKey("acme", "lost"))
    replay = _replay(bus, index)
    replay.start()
    replay.check()
    assert _listed(index) == ["lost"]
    bus.lose_all_data()
    put_request(bus, VideoKey("acme", "new"))
    wait_until(lambda: _listed(index) == ["new"], seconds=5, what="the list of the new streams")
    put_request(bus, VideoKey("acme", "later"))
    assert _listed(index) == ["new", "later"]
    replay.check()


def _statuses(index: VideoIndex) -> dict[str, str]:
    page = index.read_page("acme", after=None, limit=10, newest_first=False, since=0)
    return {video["id"]: video["status"] for video in page.videos}


def _put_videos(bus: MemoryBus, ledger: Ledger) -> None:
    for name in ("one", "two"):
        key = VideoKey("acme", name)
        put_request(bus, key)
        state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
        done = completed(started(key), prefix=f"{key.object_prefix}1-x/")
        publish(ledger, state, EventName.COMPLETED, done)


@pytest.mark.parametrize(
    ("stream", "purged", "left"),
    [
        (VIDEOS, "kinora.videos.*.*.*", {"one": "queued", "two": "queued"}),
        (VIDEOS, "kinora.videos.acme.one.completed", {"one": "in_progress", "two": "completed"}),
        (VIDEOS, "kinora.videos.acme.one.*", {"one": "queued", "two": "completed"}),
        (REQUESTS, "kinora.requests.*.*", {"one": "completed", "two": "completed"}),
    ],
)
def test_what_a_stream_loses_leaves_the_list(
    bus: MemoryBus,
    index: VideoIndex,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    stream: str,
    purged: str,
    left: dict[str, str],
) -> None:
    """The list tells what the streams have, as single reads do."""
    monkeypatch.setattr("functions.status.replay.CHECK_SECONDS", 0.02)
    _put_videos(bus, ledger)
    replay = _replay(bus, index)
    replay.start()
    assert _statuses(index) == {"one": "completed", "two": "completed"}
    bus.purge(stream, purged)
    wait_until(lambda: _statuses(index) == left, seconds=5, what="the list is as the streams")
    replay.check()


def test_a_request_that_an_operator_removed_leaves_the_list(
    bus: MemoryBus, index: VideoIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing would ever render the video."""
    monkeypatch.setattr("functions.status.replay.CHECK_SECONDS", 0.02)
    for name in ("one", "two"):
        put_request(bus, VideoKey("acme", name))
    _replay(bus, index).start()
    bus.purge(REQUESTS, "kinora.requests.acme.one")
    wait_until(lambda: _listed(index) == ["two"], seconds=5, what="the list is as the streams")


def test_a_deletion_is_no_loss(
    bus: MemoryBus, index: VideoIndex, ledger: Ledger, lost_messages: LostMessages
) -> None:
    """The list is not read again: the tombstone tells what was purged."""
    _put_videos(bus, ledger)
    _replay(bus, index).start()
    assert not lost_messages.found()
    key = VideoKey("acme", "one")
    deleted = publish(ledger, ledger.read(key), EventName.DELETED, Deleted(created_at=CREATED))
    bus.purge(VIDEOS, key.events_filter, below=deleted.seq)
    bus.purge(REQUESTS, key.request_subject)
    assert not lost_messages.found()
    bus.purge(VIDEOS, "kinora.videos.acme.two.*")
    assert lost_messages.found()


def test_an_outage_of_nats_is_no_loss(
    bus: MemoryBus, index: VideoIndex, ledger: Ledger, lost_messages: LostMessages
) -> None:
    """What was lost meanwhile is found once NATS answers again."""
    _put_videos(bus, ledger)
    _replay(bus, index).start()
    bus.unavailable = True
    assert not lost_messages.found()
    bus.unavailable = False
    assert not lost_messages.found()
    bus.purge(VIDEOS, "kinora.videos.*.*.*")
    bus.unavailable = True
    assert not lost_messages.found()
    bus.unavailable = False
    assert lost_messages.found()


def test_an_incomplete_list_is_not_ready(bus: MemoryBus, index: VideoIndex) -> None:
    """A caller must not mistake a part of the list for all of it."""
    with pytest.raises(Unavailable):
        _replay(bus, index).check()
