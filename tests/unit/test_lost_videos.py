"""Videos whose events were lost are completed from their records, or fail; all others are left."""

from __future__ import annotations

import pytest

from functions.dispatch.lost_videos import LostVideos
from functions.shared.errors import TooLarge, Unavailable
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.timestamps import DAY_SECONDS
from functions.shared.video.events import Cancelled, Completed, Deleted, EventName, Failed
from functions.shared.video.profiles import load_profile
from tests.fakes import MemoryBus, MemoryStore
from tests.unit.events import CREATED, publish, put_request, resolved, started
from tests.unit.records import put_video
from tests.unit.turns import write_state


@pytest.fixture
def lost(bus: MemoryBus, ledger: Ledger, store: MemoryStore) -> LostVideos:
    """The search, with everything in memory."""
    return LostVideos(bus, ledger, load_profile("demo"), store)


def _check_twice(bus: MemoryBus, lost: LostVideos) -> None:
    lost.check()
    bus.advance(60)
    lost.check()


def test_a_settled_video_without_events_fails(
    lost: LostVideos, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """It says why, keeps its request, and a copy of an earlier state changes nothing."""
    put_request(bus, key, seed=7, request_hash="ab" * 32)
    write_state(bus)
    _check_twice(bus, lost)
    failed = ledger.read(key)
    assert isinstance(failed.data, Failed)
    assert failed.data.error.code == "state_lost"
    assert (failed.data.request, failed.data.request_hash) == (resolved(key, seed=7), "ab" * 32)
    _check_twice(bus, lost)
    assert ledger.read(key) == failed


def test_a_video_with_a_record_is_completed_again(
    lost: LostVideos, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """The event has the id of the first one, so receivers recognise the repetition."""
    put_request(bus, key)
    write_state(bus)
    event = put_video(store, key)
    _check_twice(bus, lost)
    snapshot = ledger.read(key)
    assert (snapshot.name, snapshot.event_id) == (EventName.COMPLETED, event.id)
    assert snapshot.data == event.data


def test_a_video_that_lost_only_its_last_event_is_not_left_in_progress(
    lost: LostVideos, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """Though `started` is still there: its request is settled, so no other attempt will come."""
    put_request(bus, key)
    write_state(bus)
    publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    event = put_video(store, key)
    _check_twice(bus, lost)
    assert ledger.read(key).event_id == event.id


def test_a_missing_state_is_believed_only_if_it_is_missing_for_a_while(
    lost: LostVideos, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """A leader that was just elected may lag behind, and a restore may be underway."""
    put_request(bus, key)
    write_state(bus)
    lost.check()
    bus.advance(30)
    lost.check()
    assert ledger.read(key) == Snapshot(key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, state, EventName.CANCELLED, Cancelled(created_at=CREATED))
    lost.check()
    bus.purge(VIDEOS, key.events_filter)
    bus.advance(30)
    lost.check()
    assert ledger.read(key) == Snapshot(key), "missing again, but not for long"


def test_a_video_that_a_worker_has_claimed_is_left_to_it(
    lost: LostVideos, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """It took the request before that was settled. Once it is lost too, only its files count."""
    put_request(bus, key)
    write_state(bus)
    put_video(store, key)
    lost.check()
    bus.advance(60)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key, attempt=2))
    lost.check()
    assert ledger.read(key) == state
    bus.advance(60)
    _check_twice(bus, lost)
    assert isinstance(ledger.read(key).data, Failed)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("running", [False, True])
def test_a_request_that_is_not_settled_is_left_to_dispatch(
    lost: LostVideos,
    bus: MemoryBus,
    ledger: Ledger,
    store: MemoryStore,
    key: VideoKey,
    *,
    known: bool,
    running: bool,
) -> None:
    """It waits, or is with a worker that is about to publish; even after a day, and with files."""
    put_request(bus, VideoKey("acme", "earlier"))
    write_state(bus)
    seq = put_request(bus, key)
    if known:
        write_state(bus, unsettled=[(seq, seq)])
    if running:
        publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    put_video(store, key)
    before = ledger.read(key)
    lost.check()
    bus.advance(DAY_SECONDS)
    lost.check()
    assert ledger.read(key) == before


def test_a_request_that_was_published_again_is_left_to_dispatch(
    lost: LostVideos, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """Only the first one was settled."""
    put_request(bus, key)
    write_state(bus)
    put_request(bus, key)
    _check_twice(bus, lost)
    assert ledger.read(key) == Snapshot(key)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (EventName.CANCELLED, Cancelled(created_at=CREATED)),
        (EventName.DELETED, Deleted(created_at=CREATED)),
    ],
)
def test_an_event_that_comes_first_stays(
    bus: MemoryBus,
    store: MemoryStore,
    key: VideoKey,
    ledger: Ledger,
    name: EventName,
    data: Cancelled | Deleted,
) -> None:
    """The caller cancels or deletes between the last read and the publish."""
    put_request(bus, key)
    write_state(bus)

    class RacingStore(MemoryStore):
        """The race: the record is looked for after the state was read."""

        def read(self, key: str, *, max_bytes: int) -> bytes:
            publish(ledger, Snapshot(video), name, data)
            return super().read(key, max_bytes=max_bytes)

    video = key
    racing = RacingStore(store.files)
    put_video(racing, key)
    _check_twice(bus, LostVideos(bus, ledger, load_profile("demo"), racing))
    assert ledger.read(key).name is name


def test_nothing_fails_while_the_store_does_not_answer(
    lost: LostVideos, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """The record may be there."""
    put_request(bus, key)
    write_state(bus)
    event = put_video(store, key)
    lost.check()
    bus.advance(60)
    store.unavailable = True
    with pytest.raises(Unavailable):
        lost.check()
    assert ledger.read(key) == Snapshot(key)
    store.unavailable = False
    _check_twice(bus, lost)
    assert ledger.read(key).event_id == event.id


def test_of_several_attempts_the_latest_that_is_complete_is_taken(
    lost: LostVideos, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """A worker may have died before it published, or after it had uploaded a part."""
    put_request(bus, key)
    write_state(bus)
    put_video(store, key, attempt=1)
    event = put_video(store, key, attempt=2)
    put_video(store, key, attempt=3, record=False)
    _check_twice(bus, lost)
    data = ledger.read(key).data
    assert isinstance(data, Completed)
    assert (ledger.read(key).event_id, data.attempt) == (event.id, 2)


@pytest.mark.parametrize("damage", ["garbage", "another video", "too large", "cut", "no picture"])
def test_a_record_that_does_not_fit_its_files_is_not_used(
    lost: LostVideos,
    bus: MemoryBus,
    ledger: Ledger,
    store: MemoryStore,
    key: VideoKey,
    damage: str,
) -> None:
    """Callers would get another file than the one that was announced."""
    put_request(bus, key)
    write_state(bus)
    event = put_video(store, key)
    assert isinstance(event.data, Completed)
    prefix = event.data.output.prefix
    foreign = put_video(MemoryStore(), VideoKey("zenith", "other")).to_bytes()
    store.files |= {
        "garbage": {prefix + "completed.json": (b"{}", "")},
        "another video": {prefix + "completed.json": (foreign, "")},
        "too large": {prefix + "completed.json": (bytes(2 << 20), "")},
        "cut": {prefix + "video.mp4": (b"m", "")},
        "no picture": {},
    }[damage]
    if damage == "no picture":
        del store.files[prefix + "thumbnail.jpg"]
    _check_twice(bus, lost)
    failed = ledger.read(key).data
    assert isinstance(failed, Failed)
    assert failed.error.code == "state_lost"


def test_one_video_that_cant_be_ended_does_not_stop_the_search(
    lost: LostVideos, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """Such as one whose event would be too large for NATS."""
    large = VideoKey("acme", "large")
    for video in (large, key):
        put_request(bus, video)
        write_state(bus)
    refused = bus.publish

    def publish_small(subject: str, payload: bytes, **options: object) -> int:
        if ".large." in subject:
            raise TooLarge
        return refused(subject, payload, **options)  # type: ignore[arg-type]  # passed on

    bus.publish = publish_small  # type: ignore[method-assign]  # a server with a smaller limit
    _check_twice(bus, lost)
    assert ledger.read(key).name is EventName.FAILED
    assert ledger.read(large) == Snapshot(large)


def test_an_invalid_request_whose_failure_was_lost_fails_again(
    lost: LostVideos, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """It was settled as invalid; what can be read of it is kept."""
    bus.inject(key.request_subject, b"garbage")
    write_state(bus)
    _check_twice(bus, lost)
    assert isinstance(ledger.read(key).data, Failed)
