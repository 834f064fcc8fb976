"""Deleting videos in every state."""

from __future__ import annotations

import pytest

from functions.shared.api.thread_share import ThreadShare
from functions.shared.errors import NotStored, OutcomeUnknown, Unavailable, VideoNotFound
from functions.shared.streams.ledger import Ledger
from functions.shared.subjects import ALL_VIDEOS, REQUESTS, VIDEOS, VideoKey
from functions.submit.deletion import Deletions
from functions.submit.stream_writes import StreamWrites
from tests.fakes import MemoryBus, MemoryStore
from tests.patience import wait_until
from tests.unit.events import put_request
from tests.unit.video_states import PutVideo, put_completed, put_queued, put_running


@pytest.fixture
def deletions(bus: MemoryBus, ledger: Ledger, store: MemoryStore) -> Deletions:
    """With streams and a bucket in memory."""
    writes = StreamWrites(bus.check_writes, patience=0.01, every=0.01)
    return Deletions(bus, ledger, store, writes, ThreadShare(1, "deletions"), deadline=60)


@pytest.mark.parametrize("put_video", [put_queued, put_running, put_completed])
def test_deleting_leaves_a_tombstone_and_nothing_else(
    deletions: Deletions,
    bus: MemoryBus,
    ledger: Ledger,
    store: MemoryStore,
    key: VideoKey,
    put_video: PutVideo,
) -> None:
    """No prompt, no file and no request remain; deleting again succeeds too."""
    put_video(bus, ledger, key)
    store.files["acme/video_1/1-x/video.mp4"] = (b"mp4", "video/mp4")
    store.files["acme/video_12/1-x/video.mp4"] = (b"another video", "video/mp4")
    deletions.delete(key)
    assert bus.list_subjects(REQUESTS, key.request_subject) == []
    assert bus.list_subjects(VIDEOS, key.events_filter) == [key.event_subject("deleted")]
    message = bus.get_last_message(VIDEOS, key.events_filter, leader=True)
    assert message is not None
    assert b"circle" not in message.data
    assert list(store.files) == ["acme/video_12/1-x/video.mp4"]
    deletions.delete(key)


def test_deleting_again_completes_an_interrupted_delete(
    deletions: Deletions, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """The store was unavailable: the caller gets an error, and a retry removes the rest."""
    put_completed(bus, ledger, key)
    store.files["acme/video_1/1-x/video.mp4"] = (b"mp4", "video/mp4")
    store.unavailable = True
    with pytest.raises(Unavailable):
        deletions.delete(key)
    assert ledger.read(key).deleted
    store.unavailable = False
    deletions.delete(key)
    assert not store.files
    assert bus.list_subjects(REQUESTS, key.request_subject) == []


def test_while_nothing_is_stored_nothing_is_deleted(
    deletions: Deletions, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """Callers are told long before the deadline. An interrupted delete still removes the files."""
    deleted = VideoKey("acme", "deleted")
    for video in (key, deleted):
        put_completed(bus, ledger, video)
        store.files[f"{video.object_prefix}1-x/video.mp4"] = (b"mp4", "video/mp4")
    store.unavailable = True
    with pytest.raises(Unavailable):
        deletions.delete(deleted)
    store.unavailable = False
    bus.stopped_writing = True
    with pytest.raises(OutcomeUnknown):
        deletions.delete(key)
    with pytest.raises(NotStored):
        deletions.delete(key)
    assert not ledger.read(key).deleted
    deletions.delete(deleted)
    assert list(store.files) == [f"{key.object_prefix}1-x/video.mp4"]
    bus.stopped_writing = False
    wait_until(lambda: _is_deleted(deletions, key), seconds=10, what="it can be deleted again")
    assert not store.files


def _is_deleted(deletions: Deletions, key: VideoKey) -> bool:
    try:
        deletions.delete(key)
    except NotStored:
        return False
    return True


def test_deleting_an_unknown_video_is_not_found(
    deletions: Deletions, bus: MemoryBus, key: VideoKey
) -> None:
    """Nothing is published."""
    with pytest.raises(VideoNotFound):
        deletions.delete(key)
    assert bus.list_subjects(VIDEOS, ALL_VIDEOS) == []


@pytest.mark.parametrize("name", ["started", "completed", "nonsense"])
def test_a_video_with_an_unreadable_event_can_be_deleted(
    deletions: Deletions, bus: MemoryBus, ledger: Ledger, key: VideoKey, name: str
) -> None:
    """Whatever another publisher stored in place of an event."""
    put_request(bus, key)
    bus.inject(key.event_subject(name), b"garbage")
    deletions.delete(key)
    assert ledger.read(key).deleted
    assert bus.list_subjects(VIDEOS, key.events_filter) == [key.event_subject("deleted")]
