"""The sweeper: what it removes and ends, and above all what it leaves alone."""

from __future__ import annotations

import pytest

from functions.dispatch.sweeper import Sweeper
from functions.shared.streams.ledger import Ledger, Snapshot
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.video.events import Cancelled, Deleted, EventName, Failed
from tests.fakes import MemoryBus, MemoryStore
from tests.unit.events import CREATED, completed, publish, put_request, started

DAY = 24 * 3600
OLD = "0" * 32
NEW = "1" * 32


@pytest.fixture
def sweeper(bus: MemoryBus, ledger: Ledger, store: MemoryStore) -> Sweeper:
    """Over everything in memory, where every object is very old."""
    return Sweeper(bus, ledger, store, max_age_days=30)


def _files(store: MemoryStore, key: VideoKey) -> tuple[str, str]:
    old, new = f"{key.object_prefix}1-{OLD}/video.mp4", f"{key.object_prefix}2-{NEW}/video.mp4"
    store.files.update({old: (b"", ""), new: (b"", "")})
    return old, new


def test_of_a_completed_video_only_the_winners_files_stay(
    sweeper: Sweeper, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """What a lost attempt left behind is removed."""
    _, new = _files(store, key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key, attempt=2))
    done = completed(started(key, attempt=2), prefix=new.removesuffix("video.mp4"))
    publish(ledger, state, EventName.COMPLETED, done)
    sweeper.sweep()
    assert list(store.files) == [new]


def test_of_a_running_video_only_earlier_attempts_are_removed(
    sweeper: Sweeper, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """The present worker may be uploading at this moment."""
    _, new = _files(store, key)
    publish(ledger, Snapshot(key), EventName.STARTED, started(key, attempt=2, lease=NEW))
    sweeper.sweep()
    assert list(store.files) == [new]


@pytest.mark.parametrize("name", [EventName.CANCELLED, EventName.DELETED])
def test_an_ended_video_keeps_no_files(
    sweeper: Sweeper, ledger: Ledger, store: MemoryStore, key: VideoKey, name: EventName
) -> None:
    """Whatever a late upload put there."""
    _files(store, key)
    data = {
        EventName.CANCELLED: Cancelled(created_at=CREATED),
        EventName.DELETED: Deleted(created_at=CREATED),
    }[name]
    publish(ledger, Snapshot(key), name, data)
    sweeper.sweep()
    assert not store.files


def test_files_of_an_unknown_video_stay_until_the_stream_must_have_forgotten_it(
    bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """A video without a state may have one in a moment."""
    files = _files(store, key)
    bus.clock = 20 * DAY * 10**9
    Sweeper(bus, ledger, store, max_age_days=30).sweep()
    assert list(store.files) == list(files)
    bus.clock = 32 * DAY * 10**9
    Sweeper(bus, ledger, store, max_age_days=30).sweep()
    assert not store.files


def test_young_files_are_nobodys_business(
    bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """Even those of a cancelled video: its worker is about to remove them itself."""
    files = _files(store, key)
    publish(ledger, Snapshot(key), EventName.CANCELLED, Cancelled(created_at=CREATED))
    bus.clock = 1800 * 10**9
    Sweeper(bus, ledger, store, max_age_days=30).sweep()
    assert list(store.files) == list(files)


def test_a_delete_that_broke_off_is_finished(
    sweeper: Sweeper, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """The request and the older events go, the tombstone stays."""
    put_request(bus, key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, state, EventName.DELETED, Deleted(created_at=CREATED))
    sweeper.sweep()
    assert bus.list_subjects(REQUESTS, key.request_subject) == []
    assert bus.list_subjects(VIDEOS, key.events_filter) == [key.event_subject("deleted")]


def test_what_nobody_ran_for_a_week_fails(
    sweeper: Sweeper, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """And what has waited for less goes on waiting."""
    put_request(bus, key)
    bus.advance(6 * DAY)
    sweeper.sweep()
    assert ledger.read(key) == Snapshot(key)
    bus.advance(1 * DAY + 1)
    sweeper.sweep()
    data = ledger.read(key).data
    assert isinstance(data, Failed)
    assert data.error.code == "queued_too_long"


def test_a_video_without_worker_and_request_fails(
    sweeper: Sweeper, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """Nobody would ever deliver it again; but a short silence is no reason."""
    publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    bus.advance(300)
    sweeper.sweep()
    assert ledger.read(key).name is EventName.STARTED
    bus.advance(301)
    sweeper.sweep()
    data = ledger.read(key).data
    assert isinstance(data, Failed)
    assert data.error.code == "worker_lost"


def test_a_silent_worker_whose_request_is_there_is_left_to_dispatch(
    sweeper: Sweeper, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """It is delivered again, and another worker takes it."""
    put_request(bus, key)
    publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    bus.advance(DAY)
    sweeper.sweep()
    assert ledger.read(key).name is EventName.STARTED


def test_what_is_not_ours_stops_nothing(
    sweeper: Sweeper, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """Foreign objects stay, an unreadable event is passed over, and the rest is swept."""
    store.files["my.backup/old/x.tar"] = (b"", "")
    store.files["acme/broken/1-0/video.mp4"] = (b"", "")
    bus.inject("kinora.videos.acme.broken.started", b"garbage")
    _files(store, key)
    publish(ledger, Snapshot(key), EventName.CANCELLED, Cancelled(created_at=CREATED))
    sweeper.sweep()
    assert list(store.files) == ["my.backup/old/x.tar"]


def test_the_files_of_an_end_that_can_not_be_read_stay(
    sweeper: Sweeper, bus: MemoryBus, store: MemoryStore, key: VideoKey
) -> None:
    """It may be a later version's `completed`, and the files its video."""
    files = _files(store, key)
    bus.inject(key.event_subject("completed"), b"from the future")
    sweeper.sweep()
    assert list(store.files) == list(files)
