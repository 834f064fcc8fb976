"""The sweeper: what it deletes and fails, and above all what it leaves alone."""

from __future__ import annotations

import pytest

from functions.dispatch.sweeper import Sweeper
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.timestamps import DAY_SECONDS, NANOSECONDS
from functions.shared.video.events import Cancelled, Deleted, EventName, Failed
from functions.shared.video.profiles import load_profile
from tests.fakes import MemoryBus, MemoryStore
from tests.unit.events import CREATED, completed, publish, put_request, resolved, started

OLD = "0" * 32
NEW = "1" * 32


@pytest.fixture
def sweeper(bus: MemoryBus, ledger: Ledger, store: MemoryStore) -> Sweeper:
    """A sweeper with everything in memory; every object is very old."""
    return Sweeper(bus, ledger, load_profile("demo"), store, max_age_days=30)


def _files(store: MemoryStore, key: VideoKey) -> tuple[str, str]:
    old, new = f"{key.object_prefix}1-{OLD}/video.mp4", f"{key.object_prefix}2-{NEW}/video.mp4"
    store.files.update({old: (b"", ""), new: (b"", "")})
    return old, new


def test_a_completed_video_keeps_only_its_own_files(
    sweeper: Sweeper, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """Files of an earlier attempt are deleted."""
    _, new = _files(store, key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key, attempt=2))
    done = completed(started(key, attempt=2), prefix=new.removesuffix("video.mp4"))
    publish(ledger, state, EventName.COMPLETED, done)
    sweeper.sweep()
    assert list(store.files) == [new]


def test_a_completed_video_keeps_no_preview(
    sweeper: Sweeper, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """The worker that completed it was killed before it could delete the preview."""
    prefix = f"{key.object_prefix}1-{OLD}/"
    store.files.update({f"{prefix}{name}": (b"", "") for name in ("preview.jpg", "video.mp4")})
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, state, EventName.COMPLETED, completed(started(key), prefix=prefix))
    sweeper.sweep()
    assert list(store.files) == [f"{prefix}video.mp4"]


def test_a_running_video_loses_only_files_of_earlier_attempts(
    sweeper: Sweeper, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """The current attempt may be uploading."""
    _, new = _files(store, key)
    publish(ledger, Snapshot(key), EventName.STARTED, started(key, attempt=2, lease=NEW))
    sweeper.sweep()
    assert list(store.files) == [new]


@pytest.mark.parametrize("name", [EventName.CANCELLED, EventName.DELETED])
def test_a_cancelled_or_deleted_video_keeps_no_files(
    sweeper: Sweeper, ledger: Ledger, store: MemoryStore, key: VideoKey, name: EventName
) -> None:
    """Late uploads are deleted too."""
    _files(store, key)
    data = {
        EventName.CANCELLED: Cancelled(created_at=CREATED),
        EventName.DELETED: Deleted(created_at=CREATED),
    }[name]
    publish(ledger, Snapshot(key), name, data)
    sweeper.sweep()
    assert not store.files


def test_files_of_a_video_without_events_stay_until_these_must_have_expired(
    bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """Its first event may still be stored."""
    files = _files(store, key)
    bus.clock = 20 * DAY_SECONDS * NANOSECONDS
    Sweeper(bus, ledger, load_profile("demo"), store, max_age_days=30).sweep()
    assert list(store.files) == list(files)
    bus.clock = 32 * DAY_SECONDS * NANOSECONDS
    Sweeper(bus, ledger, load_profile("demo"), store, max_age_days=30).sweep()
    assert not store.files


def test_recent_files_are_left_alone(
    bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """Even those of a cancelled video: its worker is about to delete them."""
    files = _files(store, key)
    publish(ledger, Snapshot(key), EventName.CANCELLED, Cancelled(created_at=CREATED))
    bus.clock = 1800 * NANOSECONDS
    Sweeper(bus, ledger, load_profile("demo"), store, max_age_days=30).sweep()
    assert list(store.files) == list(files)


def test_an_interrupted_delete_is_finished(
    sweeper: Sweeper, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """The request and the older events are purged, the tombstone stays."""
    put_request(bus, key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, state, EventName.DELETED, Deleted(created_at=CREATED))
    sweeper.sweep()
    assert bus.list_subjects(REQUESTS, key.request_subject) == []
    assert bus.list_subjects(VIDEOS, key.events_filter) == [key.event_subject("deleted")]


def test_a_video_queued_for_a_week_fails(
    sweeper: Sweeper, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """A video that was queued for less stays queued. One that fails keeps its request."""
    put_request(bus, key, seed=7, request_hash="ab" * 32)
    bus.advance(6 * DAY_SECONDS)
    sweeper.sweep()
    assert ledger.read(key) == Snapshot(key)
    bus.advance(DAY_SECONDS + 1)
    sweeper.sweep()
    data = ledger.read(key).data
    assert isinstance(data, Failed)
    assert data.error.code == "queued_too_long"
    assert (data.request, data.request_hash) == (resolved(key, seed=7), "ab" * 32)


def test_an_abandoned_video_without_a_request_fails(
    sweeper: Sweeper, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """It would never be redelivered; but a short silence does not count as abandoned."""
    publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    bus.advance(300)
    sweeper.sweep()
    assert ledger.read(key).name is EventName.STARTED
    bus.advance(301)
    sweeper.sweep()
    data = ledger.read(key).data
    assert isinstance(data, Failed)
    assert data.error.code == "worker_lost"


def test_an_abandoned_video_with_a_request_is_left_to_dispatch(
    sweeper: Sweeper, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """The request is redelivered, and another worker claims the video."""
    put_request(bus, key)
    publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    bus.advance(DAY_SECONDS)
    sweeper.sweep()
    assert ledger.read(key).name is EventName.STARTED


def test_foreign_objects_and_unreadable_events_do_not_stop_a_sweep(
    sweeper: Sweeper, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """Both are left alone, and everything else is swept."""
    store.files["my.backup/old/x.tar"] = (b"", "")
    store.files["acme/broken/1-0/video.mp4"] = (b"", "")
    bus.inject("kinora.videos.acme.broken.started", b"garbage")
    _files(store, key)
    publish(ledger, Snapshot(key), EventName.CANCELLED, Cancelled(created_at=CREATED))
    sweeper.sweep()
    assert list(store.files) == ["my.backup/old/x.tar"]


def test_files_of_an_unreadable_terminal_event_stay(
    sweeper: Sweeper, bus: MemoryBus, store: MemoryStore, key: VideoKey
) -> None:
    """It may be a later version's `completed`, with these files."""
    files = _files(store, key)
    bus.inject(key.event_subject("completed"), b"from the future")
    sweeper.sweep()
    assert list(store.files) == list(files)
