"""Cancelling and deleting, at every moment of a video's life."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.shared.errors import Unavailable, VideoNotFound
from functions.shared.streams.ledger import Ledger, Snapshot, VideoState
from functions.shared.streams.video_events import VideoEvent
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.video.events import EventName, VideoData
from functions.shared.video.profiles import Profile
from functions.submit.endings import Endings
from tests.fakes import MemoryBus, MemoryStore
from tests.unit.events import completed, progressed, publish, put_request, started


@pytest.fixture
def endings(bus: MemoryBus, ledger: Ledger, store: MemoryStore, profile: Profile) -> Endings:
    """Over everything in memory."""
    return Endings(bus, ledger, store, profile, deadline=0.3)


def _queued(bus: MemoryBus, _ledger: Ledger, key: VideoKey) -> None:
    put_request(bus, key)


def _running(bus: MemoryBus, ledger: Ledger, key: VideoKey) -> None:
    put_request(bus, key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, state, EventName.PROGRESSED, progressed(started(key)))


def _completed(bus: MemoryBus, ledger: Ledger, key: VideoKey) -> None:
    put_request(bus, key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, state, EventName.COMPLETED, completed(started(key)))


Moment = Callable[[MemoryBus, Ledger, VideoKey], None]


@pytest.mark.parametrize("moment", [_queued, _running])
def test_cancelling_ends_a_video_that_is_not_finished(
    endings: Endings, bus: MemoryBus, ledger: Ledger, key: VideoKey, moment: Moment
) -> None:
    """It is cancelled with its settings kept, so that a list can still show what it was."""
    moment(bus, ledger, key)
    snapshot = endings.cancel(key)
    assert snapshot.name is EventName.CANCELLED
    assert isinstance(snapshot.data, VideoData)
    assert snapshot.data.request is not None
    assert snapshot.data.request.prompt == "a red circle"
    assert endings.cancel(key).seq == snapshot.seq, "and again changes nothing"


def test_cancelling_a_finished_video_changes_nothing(
    endings: Endings, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """The caller gets the video as it is."""
    _completed(bus, ledger, key)
    before = ledger.read(key)
    assert endings.cancel(key) == before


def test_cancelling_wins_against_a_worker_that_goes_on(
    endings: Endings, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """A renewal in between only makes the cancellation try again on the newer state."""
    _running(bus, ledger, key)
    original = ledger.publish
    calls: list[VideoEvent] = []

    def publish_after_a_renewal(
        after: VideoState, event: VideoEvent, **options: object
    ) -> VideoState:
        if not calls:
            calls.append(event)
            renewal = VideoEvent.new(
                key, EventName.PROGRESSED, progressed(started(key)), source="/test"
            )
            original(after, renewal)
        return original(after, event, **options)  # type: ignore[arg-type]

    ledger.publish = publish_after_a_renewal  # type: ignore[method-assign]
    assert endings.cancel(key).name is EventName.CANCELLED
    assert len(calls) == 1


@pytest.mark.parametrize("moment", [_queued, _running, _completed])
def test_deleting_leaves_a_tombstone_and_nothing_else(
    endings: Endings,
    bus: MemoryBus,
    ledger: Ledger,
    store: MemoryStore,
    key: VideoKey,
    moment: Moment,
) -> None:
    """No prompt, no file, no request; and deleting again answers the same."""
    moment(bus, ledger, key)
    store.files["acme/video_1/1-x/video.mp4"] = (b"mp4", "video/mp4")
    store.files["acme/video_12/1-x/video.mp4"] = (b"another video", "video/mp4")
    endings.delete(key)
    assert bus.list_subjects(REQUESTS, key.request_subject) == []
    assert bus.list_subjects(VIDEOS, key.events_filter) == [key.event_subject("deleted")]
    message = bus.get_last_message(VIDEOS, key.events_filter, leader=True)
    assert message is not None
    assert b"circle" not in message.data
    assert list(store.files) == ["acme/video_12/1-x/video.mp4"]
    endings.delete(key)


def test_a_delete_that_broke_off_is_finished_by_the_next(
    endings: Endings, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """The store was away: the caller hears so, and deleting again removes what is left."""
    _completed(bus, ledger, key)
    store.files["acme/video_1/1-x/video.mp4"] = (b"mp4", "video/mp4")
    store.unavailable = True
    with pytest.raises(Unavailable):
        endings.delete(key)
    assert ledger.read(key).deleted
    store.unavailable = False
    endings.delete(key)
    assert not store.files
    assert bus.list_subjects(REQUESTS, key.request_subject) == []


@pytest.mark.parametrize("action", ["cancel", "delete"])
def test_what_never_was_is_not_found(
    endings: Endings, bus: MemoryBus, key: VideoKey, action: str
) -> None:
    """No trace is left of the question."""
    with pytest.raises(VideoNotFound):
        getattr(endings, action)(key)
    assert bus.list_subjects(VIDEOS, "kinora.videos.*.*.*") == []


def test_a_deleted_video_can_not_be_cancelled(
    endings: Endings, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """It is not found, like one that never was."""
    _queued(bus, ledger, key)
    endings.delete(key)
    with pytest.raises(VideoNotFound):
        endings.cancel(key)


def test_a_request_that_is_not_valid_can_be_cancelled(
    endings: Endings, bus: MemoryBus, key: VideoKey
) -> None:
    """Even before anybody has found out that it can't be run."""
    bus.inject(key.request_subject, b"garbage")
    assert endings.cancel(key).name is EventName.CANCELLED


@pytest.mark.parametrize("name", ["started", "completed", "nonsense"])
def test_even_garbage_can_be_deleted(
    endings: Endings, bus: MemoryBus, ledger: Ledger, key: VideoKey, name: str
) -> None:
    """What somebody put in the place of an event is buried like any other."""
    put_request(bus, key)
    bus.inject(key.event_subject(name), b"garbage")
    endings.delete(key)
    assert ledger.read(key).deleted
    assert bus.list_subjects(VIDEOS, key.events_filter) == [key.event_subject("deleted")]
