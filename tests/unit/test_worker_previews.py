"""Previews of a worker's attempt: stored while it renders, and gone when it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functions.generate.attempt import Attempt, AttemptDependencies
from functions.generate.worker import Worker
from functions.shared.errors import EngineCrashed, KinoraError, OutOfMemory
from functions.shared.streams.ledger import Ledger, LostRace
from functions.shared.streams.video_events import VideoEvent
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.video.events import (
    Cancelled,
    Deleted,
    EventName,
    Progressed,
    Started,
    VideoData,
)
from functions.shared.video.profiles import Profile
from functions.shared.video_objects import attempt_prefix
from functions.shared.write_check import WriteCheck
from tests.fakes import MemoryBus, MemoryStore
from tests.patience import scaled, wait_until
from tests.unit.events import CREATED, put_request, started
from tests.unit.step_engine import StepEngine

ENDS: dict[EventName, VideoData | Deleted] = {
    EventName.CANCELLED: Cancelled(created_at=CREATED),
    EventName.DELETED: Deleted(created_at=CREATED),
}


@pytest.fixture
def engine() -> StepEngine:
    """An engine that the test controls."""
    return StepEngine()


@pytest.fixture
def worker(
    bus: MemoryBus, ledger: Ledger, store: MemoryStore, engine: StepEngine, profile: Profile
) -> Iterator[Worker]:
    """A worker that renews its lease every 20 ms, so that tests can wait for it."""
    dependencies = AttemptDependencies(
        ledger, bus, store, engine, renew_seconds=0.02, upload_retry_seconds=300
    )
    worker = Worker(dependencies, profile, WriteCheck(store), name="w1", lease_seconds=20)
    yield worker
    store.unavailable = False
    engine.go.set()
    worker.drain()


@pytest.fixture
def attempt(
    worker: Worker, bus: MemoryBus, ledger: Ledger, engine: StepEngine, key: VideoKey
) -> Attempt:
    """An attempt that has stored two previews, of which the stream knows."""
    attempt = worker.start_attempt(put_request(bus, key))
    for number in (1, 2):
        engine.previews.put(f"picture {number}".encode())
        wait_until(
            lambda: _previewed(ledger, key) == number,  # noqa: B023 - called in this iteration
            seconds=10,
            what=f"an event names preview {number}",
        )
    return attempt


def _previewed(ledger: Ledger, key: VideoKey) -> int | None:
    data = ledger.read(key).data
    return data.preview if isinstance(data, Progressed) else None


def _key_of(ledger: Ledger, key: VideoKey) -> str:
    data = ledger.read(key).data
    assert isinstance(data, Started)
    return attempt_prefix(key, data.attempt, data.lease.id) + "preview.jpg"


def _finish(attempt: Attempt) -> str:
    assert attempt.finished.wait(scaled(10))
    return str(attempt.status_line()["state"])


def _previews(store: MemoryStore) -> list[str]:
    return [name for name in store.files if name.endswith("preview.jpg")]


@pytest.mark.usefixtures("attempt")
def test_events_carry_the_number_of_the_newest_preview(
    bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """In the renewals, of which the stream keeps one, as ever; the picture is in the store."""
    assert store.files[_key_of(ledger, key)] == (b"picture 2", "image/jpeg")
    subjects = [key.event_subject(name) for name in ("progressed", "started")]
    assert sorted(bus.list_subjects(VIDEOS, key.events_filter)) == subjects


def test_a_completed_video_has_no_preview(
    attempt: Attempt, ledger: Ledger, store: MemoryStore, engine: StepEngine, key: VideoKey
) -> None:
    """Its files are all there."""
    engine.go.set()
    assert _finish(attempt) == "completed"
    assert ledger.read(key).name is EventName.COMPLETED
    assert len(store.files) == 4
    assert not _previews(store)


@pytest.mark.parametrize("error", [EngineCrashed(), OutOfMemory()])
def test_a_failed_attempt_leaves_no_preview(
    attempt: Attempt,
    ledger: Ledger,
    store: MemoryStore,
    engine: StepEngine,
    key: VideoKey,
    error: KinoraError,
) -> None:
    """Neither if the video failed, nor if it is tried again; and no event names one."""
    engine.error = error
    engine.go.set()
    assert _finish(attempt) == ("released" if error.retryable else "failed")
    assert _previewed(ledger, key) is None
    assert not store.files


@pytest.mark.parametrize("end", list(ENDS))
def test_a_cancelled_or_deleted_video_has_no_preview(
    attempt: Attempt,
    ledger: Ledger,
    store: MemoryStore,
    engine: StepEngine,
    key: VideoKey,
    end: EventName,
) -> None:
    """Not even if the engine makes one more before it notices."""
    while True:
        try:
            event = VideoEvent.new(key, end, ENDS[end], source="/t")
            ledger.publish(ledger.read(key), event)
        except LostRace:
            continue
        break
    engine.previews.put(b"late")
    assert _finish(attempt) == "lost"
    assert not store.files


def test_a_late_attempt_does_not_touch_the_preview_of_the_next(
    attempt: Attempt, bus: MemoryBus, store: MemoryStore, engine: StepEngine, key: VideoKey
) -> None:
    """A worker that was paused stores its pictures under its own prefix, and deletes only those."""
    theirs = attempt_prefix(key, 2, "f" * 32) + "preview.jpg"
    store.files[theirs] = (b"theirs", "image/jpeg")
    data = started(key, attempt=2, lease="f" * 32)
    engine.previews.put(b"late")
    bus.inject(
        key.event_subject("started"),
        VideoEvent.new(key, EventName.STARTED, data, source="/other").to_bytes(),
    )
    assert _finish(attempt) == "lost"
    assert store.files == {theirs: (b"theirs", "image/jpeg")}


def test_a_store_that_refuses_previews_costs_nothing_else(
    attempt: Attempt, ledger: Ledger, store: MemoryStore, engine: StepEngine, key: VideoKey
) -> None:
    """The number stays that of the last one that was stored, and the video is completed."""
    store.unavailable = True
    engine.previews.put(b"refused")
    wait_until(engine.previews.empty, seconds=10, what="the engine has reported it")
    before = ledger.read(key).seq
    wait_until(lambda: ledger.read(key).seq > before + 1, seconds=10, what="two renewals")
    assert _previewed(ledger, key) == 2
    store.unavailable = False
    engine.go.set()
    assert _finish(attempt) == "completed"
    assert not _previews(store)
