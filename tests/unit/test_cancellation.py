"""Cancelling videos in every state."""

from __future__ import annotations

import pytest

from functions.shared.errors import NotStored, OutcomeUnknown, VideoNotFound
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_events import VideoEvent
from functions.shared.streams.video_state import Snapshot, VideoState
from functions.shared.subjects import ALL_VIDEOS, VIDEOS, VideoKey
from functions.shared.video.events import Deleted, EventName, VideoData
from functions.shared.video.profiles import Profile
from functions.submit.cancellation import Cancellations
from functions.submit.stream_writes import StreamWrites
from tests.fakes import MemoryBus
from tests.unit.events import CREATED, progressed, publish, started
from tests.unit.video_states import PutVideo, put_completed, put_queued, put_running


@pytest.fixture
def cancellations(bus: MemoryBus, ledger: Ledger, profile: Profile) -> Cancellations:
    """With streams in memory."""
    writes = StreamWrites(bus.check_writes, patience=0.01, every=0.01)
    return Cancellations(bus, ledger, profile, writes, deadline=60)


@pytest.mark.parametrize("put_video", [put_queued, put_running])
def test_an_unfinished_video_is_cancelled_and_keeps_its_settings(
    cancellations: Cancellations,
    bus: MemoryBus,
    ledger: Ledger,
    key: VideoKey,
    put_video: PutVideo,
) -> None:
    """The list still shows its prompt; cancelling again changes nothing."""
    put_video(bus, ledger, key)
    snapshot = cancellations.cancel(key)
    assert snapshot.name is EventName.CANCELLED
    assert isinstance(snapshot.data, VideoData)
    assert snapshot.data.request is not None
    assert snapshot.data.request.prompt == "a red circle"
    assert cancellations.cancel(key).seq == snapshot.seq


def test_cancelling_a_completed_video_changes_nothing(
    cancellations: Cancellations, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """The caller gets the video as it is."""
    put_completed(bus, ledger, key)
    before = ledger.read(key)
    assert cancellations.cancel(key) == before


def test_cancelling_wins_against_a_worker_that_renews_its_lease(
    cancellations: Cancellations, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """After a renewal in between, the cancellation is retried on the newer state."""
    put_running(bus, ledger, key)
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
    assert cancellations.cancel(key).name is EventName.CANCELLED
    assert len(calls) == 1


def test_cancelling_an_unknown_video_is_not_found(
    cancellations: Cancellations, bus: MemoryBus, key: VideoKey
) -> None:
    """Nothing is published."""
    with pytest.raises(VideoNotFound):
        cancellations.cancel(key)
    assert bus.list_subjects(VIDEOS, ALL_VIDEOS) == []


def test_while_nothing_is_stored_nothing_is_cancelled(
    cancellations: Cancellations, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """Callers are told long before the deadline. A video that has ended is returned as before."""
    put_running(bus, ledger, key)
    done = VideoKey("acme", "done")
    put_completed(bus, ledger, done)
    bus.stopped_writing = True
    with pytest.raises(OutcomeUnknown):
        cancellations.cancel(key)
    with pytest.raises(NotStored):
        cancellations.cancel(key)
    assert cancellations.cancel(done).name is EventName.COMPLETED


def test_a_deleted_video_can_not_be_cancelled(
    cancellations: Cancellations, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """It is not found, like an unknown video."""
    put_queued(bus, ledger, key)
    publish(ledger, Snapshot(key), EventName.DELETED, Deleted(created_at=CREATED))
    with pytest.raises(VideoNotFound):
        cancellations.cancel(key)


def test_an_invalid_request_can_be_cancelled(
    cancellations: Cancellations, bus: MemoryBus, key: VideoKey
) -> None:
    """Even before `dispatch` has failed it."""
    bus.inject(key.request_subject, b"garbage")
    assert cancellations.cancel(key).name is EventName.CANCELLED
