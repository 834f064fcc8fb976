"""`restore-videos` gives the stream what it has lost, and leaves everything else as it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.setup.restore import Restored, VideoRestorer
from functions.shared.errors import Unavailable
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.timestamps import DAY_SECONDS
from functions.shared.video.events import Cancelled, Completed, Deleted, EventName
from tests.fakes import MemoryBus, MemoryStore
from tests.unit.events import CREATED, publish, put_request, started
from tests.unit.records import put_video
from tests.unit.turns import write_state

Restore = Callable[[], dict[Restored, int]]


@pytest.fixture
def restore(bus: MemoryBus, ledger: Ledger, store: MemoryStore) -> Restore:
    """Runs the command."""
    restorer = VideoRestorer(bus, ledger, store, max_age_days=30)
    return lambda: dict(restorer.restore_all())


def test_everything_in_the_bucket_is_restored_once(
    restore: Restore, bus: MemoryBus, ledger: Ledger, store: MemoryStore
) -> None:
    """Into empty streams, and running it again changes nothing."""
    keys = [VideoKey("acme", "v1"), VideoKey("acme", "v2"), VideoKey("zenith", "v1")]
    events = {key: put_video(store, key) for key in keys}
    store.files["my.backup/old/x.tar"] = (b"", "")
    assert restore() == {Restored.RESTORED: 3}
    for key in keys:
        snapshot = ledger.read(key)
        assert (snapshot.event_id, snapshot.data) == (events[key].id, events[key].data)
    last = bus.last_seq(VIDEOS)
    assert restore() == {Restored.FINISHED: 3}
    assert bus.last_seq(VIDEOS) == last


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (EventName.CANCELLED, Cancelled(created_at=CREATED)),
        (EventName.DELETED, Deleted(created_at=CREATED)),
    ],
)
def test_a_final_state_stays(
    restore: Restore,
    ledger: Ledger,
    store: MemoryStore,
    key: VideoKey,
    name: EventName,
    data: Cancelled | Deleted,
) -> None:
    """Files of such a video are leftovers, which the sweeper removes."""
    put_video(store, key)
    publish(ledger, Snapshot(key), name, data)
    assert restore() == {Restored.FINISHED: 1}
    assert ledger.read(key).name is name


def test_what_a_worker_has_or_will_get_is_left_alone(
    restore: Restore, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """An earlier attempt may have uploaded everything, and then died."""
    put_request(bus, key)
    put_video(store, key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    bus.advance(60)
    assert restore() == {Restored.RUNNING: 1}
    write_state(bus)
    publish(ledger, state, EventName.STARTED, started(key, attempt=2))
    assert restore() == {Restored.RUNNING: 1}, "by a worker that had taken the request before"
    bus.advance(60)
    assert restore() == {Restored.NO_RECORD: 1}, "of the newest attempt"
    put_video(store, key, attempt=2)
    assert restore() == {Restored.RESTORED: 1}, "settled: `completed` was there, and was lost"


def test_a_running_video_without_a_request_is_restored_once_its_lease_has_expired(
    restore: Restore, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """Until then its worker may publish the event itself."""
    put_video(store, key)
    publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    assert restore() == {Restored.RUNNING: 1}
    bus.advance(60)
    assert restore() == {Restored.RESTORED: 1}


def test_what_cant_be_restored_is_told(
    restore: Restore, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """Files without a record, and videos that the streams would no longer have."""
    put_video(store, key, record=False)
    assert restore() == {Restored.NO_RECORD: 1}
    put_video(store, key, attempt=2)
    bus.advance(365 * DAY_SECONDS)
    assert restore() == {Restored.EXPIRED: 1}
    assert ledger.read(key) == Snapshot(key)


def test_an_outage_is_told(restore: Restore, store: MemoryStore, key: VideoKey) -> None:
    """What was restored before stays restored."""
    put_video(store, key)
    store.unavailable = True
    with pytest.raises(Unavailable):
        restore()


def test_the_event_of_a_worker_that_has_not_published_it_yet_is_its_own(
    restore: Restore, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """The record has the id of the worker's event, so it takes the restored one for its own."""
    event = put_video(store, key)
    assert restore() == {Restored.RESTORED: 1}
    state = ledger.publish(Snapshot(key), event)
    assert isinstance(state.data, Completed)
    assert state.event_id == event.id
