"""The worker: one video at a time, under a lease, and its outcome in the stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from functions.generate.attempt import Attempt, AttemptDependencies
from functions.generate.worker import Worker
from functions.shared.errors import (
    EngineCrashed,
    InvalidRequest,
    OutOfMemory,
    Unavailable,
)
from functions.shared.streams.ledger import Ledger, LostRace
from functions.shared.streams.video_events import VideoEvent
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.video.events import (
    Cancelled,
    Completed,
    Deleted,
    EventName,
    Failed,
    Progressed,
)
from functions.shared.video.profiles import Profile
from functions.shared.video.warnings import truncated
from functions.shared.video_objects import find_record
from functions.shared.write_check import WriteCheck
from tests.fakes import MemoryBus, MemoryStore
from tests.patience import scaled, wait_until
from tests.unit.events import CREATED, publish, put_request, started
from tests.unit.step_engine import StepEngine


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
    bus.unavailable = store.unavailable = False
    bus.faults.clear()
    engine.go.set()
    worker.drain()


def _finish(attempt: Attempt) -> str:
    assert attempt.finished.wait(scaled(10))
    return str(attempt.status_line()["state"])


def test_completed_names_the_files_and_their_digest(
    worker: Worker,
    bus: MemoryBus,
    ledger: Ledger,
    store: MemoryStore,
    engine: StepEngine,
    key: VideoKey,
) -> None:
    """All three files are under the prefix in `completed`, and so is its record."""
    engine.go.set()
    attempt = worker.start_attempt(put_request(bus, key))
    assert _finish(attempt) == "completed"
    data = ledger.read(key).data
    assert isinstance(data, Completed)
    assert sorted(store.files) == [
        data.output.prefix + name
        for name in ("completed.json", "spritesheet.jpg", "thumbnail.jpg", "video.mp4")
    ]
    assert data.output.prefix.startswith("acme/video_1/1-")
    assert data.output.bytes == len(b"video.mp4")
    assert data.worker == "w1"
    assert data.started_at is not None
    assert set(data.timings) == {"denoising", "uploading"}
    assert data.engine is not None
    assert (data.engine.ranks, data.engine.attention) == (2, "flash")
    assert data.engine.peak_memory == {"denoising": 9}
    assert (data.engine.quality, data.engine.steps_computed, data.engine.steps_reused) == (
        "exact",
        2,
        1,
    )


def test_the_record_of_a_video_is_its_event_and_is_there_before_it(
    worker: Worker,
    bus: MemoryBus,
    ledger: Ledger,
    store: MemoryStore,
    engine: StepEngine,
    key: VideoKey,
) -> None:
    """While NATS does not take `completed`, the bucket has it already, with the same id."""
    attempt = worker.start_attempt(put_request(bus, key))
    assert engine.begun.wait(scaled(10))
    bus.unavailable = True
    engine.go.set()
    record = _wait_for_record(store)
    bus.unavailable = False
    assert _finish(attempt) == "completed"
    snapshot = ledger.read(key)
    assert isinstance(snapshot.data, Completed)
    assert record == snapshot.data.output.prefix + "completed.json"
    event = find_record(store, key, store.list_objects(key.object_prefix))
    assert event is not None
    assert (event.id, event.data) == (snapshot.event_id, snapshot.data)


def test_a_worker_whose_video_has_no_events_any_more_leaves_its_files(
    worker: Worker,
    bus: MemoryBus,
    store: MemoryStore,
    engine: StepEngine,
    key: VideoKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody has won, and the files are what the video can be completed from."""
    monkeypatch.setattr("functions.shared.streams.ledger.ELECTION_SECONDS", 0.0)
    attempt = worker.start_attempt(put_request(bus, key))
    assert engine.begun.wait(scaled(10))
    bus.unavailable = True
    engine.go.set()
    _wait_for_record(store)
    bus.lose_all_data()
    bus.unavailable = False
    assert _finish(attempt) == "lost"
    assert len(store.files) == 4


def _wait_for_record(store: MemoryStore) -> str:
    return wait_until(
        lambda: next((name for name in list(store.files) if name.endswith(".json")), None),
        seconds=20,
        what="the record",
    )


def test_progress_renews_the_lease(
    worker: Worker, bus: MemoryBus, ledger: Ledger, engine: StepEngine, key: VideoKey
) -> None:
    """While the engine renders, progress is published by a timer, not by the engine's steps."""
    attempt = worker.start_attempt(put_request(bus, key))
    first = wait_until(
        lambda: ledger.read(key) if ledger.read(key).name is EventName.PROGRESSED else None,
        seconds=5,
        what="progress",
    )
    assert isinstance(first.data, Progressed)
    assert (first.data.progress, first.data.stage) == (45, "denoising")
    wait_until(lambda: ledger.read(key).seq > first.seq, seconds=5, what="a renewal")
    engine.go.set()
    assert _finish(attempt) == "completed"


def test_a_worker_renders_one_video_at_a_time(
    worker: Worker, bus: MemoryBus, engine: StepEngine, key: VideoKey, ledger: Ledger
) -> None:
    """A second request gets "busy", and its video is not claimed."""
    attempt = worker.start_attempt(put_request(bus, key))
    other = VideoKey("acme", "video_2")
    with pytest.raises(Unavailable) as error:
        worker.start_attempt(put_request(bus, other))
    assert error.value.code == "busy"
    assert ledger.read(other) == Snapshot(other)
    engine.go.set()
    _finish(attempt)


@pytest.mark.parametrize(
    ("before", "code"),
    [
        (("started", {"seconds": 20.0}), "leased"),
        (("started", {"attempt": 3, "seconds": 0.0}), "attempts_used_up"),
        (("cancelled", {}), "ended"),
        (("deleted", {}), "ended"),
    ],
)
def test_a_leased_or_finished_video_is_not_claimed(
    worker: Worker,
    bus: MemoryBus,
    ledger: Ledger,
    engine: StepEngine,
    key: VideoKey,
    before: tuple[str, dict[str, float]],
    code: str,
) -> None:
    """Nor is one without attempts left; and the worker stays free."""
    seq = put_request(bus, key)
    name, fields = before
    data: object = {
        "started": started(key, **fields),  # type: ignore[arg-type]  # of several types
        "cancelled": Cancelled(created_at=CREATED),
        "deleted": Deleted(created_at=CREATED),
    }[name]
    state = publish(ledger, Snapshot(key), EventName(name), data)
    with pytest.raises(Unavailable) as error:
        worker.start_attempt(seq)
    assert error.value.code == code
    assert ledger.read(key).seq == state.seq
    engine.go.set()
    assert _finish(worker.start_attempt(put_request(bus, VideoKey("acme", "other")))) == "completed"


def test_a_missing_or_invalid_request_is_refused(
    worker: Worker, bus: MemoryBus, key: VideoKey
) -> None:
    """Only the stream's message counts."""
    with pytest.raises(Unavailable):
        worker.start_attempt(99)
    with pytest.raises(InvalidRequest):
        worker.start_attempt(bus.inject(key.request_subject, b"garbage"))


def test_an_expired_lease_is_taken_over_by_the_next_attempt(
    worker: Worker, bus: MemoryBus, ledger: Ledger, engine: StepEngine, key: VideoKey
) -> None:
    """The attempt's number increases by one; the settings and the first start stay."""
    seq = put_request(bus, key)
    publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    bus.advance(21)
    engine.go.set()
    assert _finish(worker.start_attempt(seq)) == "completed"
    data = ledger.read(key).data
    assert isinstance(data, Completed)
    assert (data.attempt, data.started_at) == (2, CREATED)


def test_a_request_published_again_does_not_change_a_video_that_has_started(
    worker: Worker, bus: MemoryBus, ledger: Ledger, engine: StepEngine, key: VideoKey
) -> None:
    """The second attempt renders with the settings of the first, which callers have seen."""
    put_request(bus, key)
    publish(ledger, Snapshot(key), EventName.STARTED, started(key, seconds=0))
    engine.go.set()
    assert (
        _finish(worker.start_attempt(put_request(bus, key, prompt="something else"))) == "completed"
    )
    assert engine.requests[-1].prompt == "a red circle"
    data = ledger.read(key).data
    assert isinstance(data, Completed)
    assert data.created_at == CREATED


@pytest.mark.parametrize("end", [EventName.CANCELLED, EventName.DELETED])
def test_cancelling_or_deleting_stops_the_attempt_and_leaves_no_files(
    worker: Worker,
    bus: MemoryBus,
    ledger: Ledger,
    store: MemoryStore,
    engine: StepEngine,
    key: VideoKey,
    end: EventName,
) -> None:
    """The engine stops at its next step; nothing is published after the terminal event."""
    attempt = worker.start_attempt(put_request(bus, key))
    assert engine.begun.wait(scaled(10))
    _publish_end(ledger, key, end)
    assert _finish(attempt) == "lost"
    assert ledger.read(key).name is end
    assert not store.files


def _publish_end(ledger: Ledger, key: VideoKey, end: EventName) -> None:
    """Cancel or delete a video whose worker renews its lease meanwhile."""
    data = (
        Deleted(created_at=CREATED)
        if end is EventName.DELETED
        else Cancelled(created_at=CREATED, request=None)
    )
    while True:
        try:
            ledger.publish(ledger.read(key), VideoEvent.new(key, end, data, source="/t"))
        except LostRace:
            continue
        return


def test_a_worker_that_lost_its_lease_overwrites_nothing(
    worker: Worker,
    bus: MemoryBus,
    ledger: Ledger,
    store: MemoryStore,
    engine: StepEngine,
    key: VideoKey,
) -> None:
    """A worker that was paused for too long publishes nothing, and deletes only its own files."""
    seq = put_request(bus, key)
    attempt = worker.start_attempt(seq)
    assert engine.begun.wait(scaled(10))
    theirs = "acme/video_1/2-" + "f" * 32 + "/video.mp4"
    store.files[theirs] = (b"theirs", "video/mp4")
    bus.inject(
        key.event_subject("started"),
        _started_bytes(key, attempt=2, lease="f" * 32),
    )
    engine.go.set()
    assert _finish(attempt) == "lost"
    assert ledger.read(key).lease_id == "f" * 32
    assert list(store.files) == [theirs]


def _started_bytes(key: VideoKey, **fields: object) -> bytes:
    data = started(key, **fields)  # type: ignore[arg-type]
    return VideoEvent.new(key, EventName.STARTED, data, source="/other").to_bytes()


def test_a_retryable_error_releases_the_video(
    worker: Worker,
    bus: MemoryBus,
    ledger: Ledger,
    store: MemoryStore,
    engine: StepEngine,
    key: VideoKey,
) -> None:
    """The lease is released with the error, so the next attempt can start at once."""
    engine.error = EngineCrashed()
    engine.go.set()
    assert _finish(worker.start_attempt(put_request(bus, key))) == "released"
    snapshot = ledger.read(key)
    assert isinstance(snapshot.data, Progressed)
    assert snapshot.data.error is not None
    assert snapshot.data.error.code == "engine_crashed"
    assert ledger.lease_left(snapshot) <= 0
    assert not store.files


def test_a_permanent_error_fails_the_video(
    worker: Worker, bus: MemoryBus, ledger: Ledger, engine: StepEngine, key: VideoKey
) -> None:
    """A video that does not fit into memory would not fit the second time."""
    engine.error = OutOfMemory()
    engine.go.set()
    assert _finish(worker.start_attempt(put_request(bus, key))) == "failed"
    data = ledger.read(key).data
    assert isinstance(data, Failed)
    assert data.error.code == "out_of_memory"


def test_nothing_is_claimed_while_the_store_refuses_writes(
    worker: Worker, bus: MemoryBus, ledger: Ledger, store: MemoryStore, key: VideoKey
) -> None:
    """The video stays queued with all its attempts, and readiness says why."""
    seq = put_request(bus, key)
    store.unavailable = True
    for refused in (worker.check, lambda: worker.start_attempt(seq)):
        with pytest.raises(Unavailable, match="The object store does not answer"):
            refused()
    assert ledger.read(key) == Snapshot(key)


def test_a_rendered_video_waits_for_the_store(
    worker: Worker,
    bus: MemoryBus,
    ledger: Ledger,
    store: MemoryStore,
    engine: StepEngine,
    key: VideoKey,
) -> None:
    """With its files and its lease; it is rendered once, and completed by the same attempt."""
    attempt = _wait_with_upload(worker, bus, store, engine, key)
    with pytest.raises(Unavailable, match=r"waits for its upload\. The object store does"):
        worker.check()
    renewed = ledger.read(key).seq
    wait_until(lambda: ledger.read(key).seq > renewed, seconds=5, what="the lease is renewed")
    store.unavailable = False
    assert _finish(attempt) == "completed"
    assert (len(engine.requests), ledger.read(key).attempt) == (1, 1)
    assert len(store.files) == 4
    wait_until(lambda: _is_free(worker), seconds=5, what="the worker is ready again")


def _wait_with_upload(
    worker: Worker, bus: MemoryBus, store: MemoryStore, engine: StepEngine, key: VideoKey
) -> Attempt:
    """An attempt of `key` that has rendered, and waits for the store."""
    attempt = worker.start_attempt(put_request(bus, key))
    assert engine.begun.wait(scaled(10))
    store.unavailable = True
    engine.go.set()
    wait_until(lambda: attempt.store_problem, seconds=5, what="the upload waits")
    return attempt


def test_cancelling_ends_the_wait_for_the_store(
    worker: Worker,
    bus: MemoryBus,
    ledger: Ledger,
    store: MemoryStore,
    engine: StepEngine,
    key: VideoKey,
) -> None:
    """Though the store does not answer: it is not asked again."""
    attempt = _wait_with_upload(worker, bus, store, engine, key)
    _publish_end(ledger, key, EventName.CANCELLED)
    assert _finish(attempt) == "lost"
    assert not attempt.store_problem


def test_a_store_that_refuses_for_too_long_releases_the_video(
    bus: MemoryBus,
    ledger: Ledger,
    store: MemoryStore,
    engine: StepEngine,
    profile: Profile,
    key: VideoKey,
) -> None:
    """A video without its files is never completed."""
    dependencies = AttemptDependencies(
        ledger, bus, store, engine, renew_seconds=0.02, upload_retry_seconds=0.6
    )
    worker = Worker(dependencies, profile, WriteCheck(store), name="w1", lease_seconds=20)
    attempt = worker.start_attempt(put_request(bus, key))
    assert engine.begun.wait(scaled(10))
    store.unavailable = True
    engine.go.set()
    assert _finish(attempt) == "released"
    data = ledger.read(key).data
    assert isinstance(data, Progressed)
    assert data.error is not None
    assert data.error.message == "The object store does not answer"


def test_an_unexpected_error_costs_an_attempt_and_not_the_worker(
    worker: Worker, bus: MemoryBus, ledger: Ledger, engine: StepEngine, key: VideoKey
) -> None:
    """The published error has no details, which are in the log."""
    engine.error = RuntimeError("secret detail")
    engine.go.set()
    assert _finish(worker.start_attempt(put_request(bus, key))) == "released"
    snapshot = ledger.read(key)
    assert isinstance(snapshot.data, Progressed)
    assert snapshot.data.error is not None
    assert "secret" not in snapshot.data.error.message
    engine.error = None
    assert _finish(worker.start_attempt(put_request(bus, VideoKey("acme", "v2")))) == "completed"


def test_a_completion_whose_ack_was_lost_is_published_once(
    worker: Worker, bus: MemoryBus, ledger: Ledger, engine: StepEngine, key: VideoKey
) -> None:
    """The files stay, and the video is completed."""
    seq = put_request(bus, key)
    attempt = worker.start_attempt(seq)
    assert engine.begun.wait(scaled(10))
    bus.faults.extend(["answer lost"] * 3)
    engine.go.set()
    assert _finish(attempt) == "completed"
    assert ledger.read(key).name is EventName.COMPLETED


def test_an_outage_of_nats_does_not_lose_the_video(
    worker: Worker, bus: MemoryBus, ledger: Ledger, engine: StepEngine, key: VideoKey
) -> None:
    """The worker keeps the files and publishes `completed` when NATS is back."""
    attempt = worker.start_attempt(put_request(bus, key))
    assert engine.begun.wait(scaled(10))
    bus.unavailable = True
    engine.go.set()
    assert not attempt.finished.wait(0.3)
    bus.unavailable = False
    assert _finish(attempt) == "completed"
    assert ledger.read(key).name is EventName.COMPLETED


def test_a_worker_whose_client_disconnected_is_not_ready(
    worker: Worker, bus: MemoryBus, engine: StepEngine, key: VideoKey
) -> None:
    """Until it has finished the video."""
    attempt = worker.start_attempt(put_request(bus, key))
    worker.check()
    attempt.disconnect()
    with pytest.raises(Unavailable):
        worker.check()
    engine.go.set()
    _finish(attempt)
    wait_until(lambda: _is_free(worker), seconds=5, what="the worker is ready again")


def _is_free(worker: Worker) -> bool:
    try:
        worker.check()
    except Unavailable:
        return False
    return True


def test_draining_finishes_the_video_and_accepts_no_other(
    worker: Worker, bus: MemoryBus, engine: StepEngine, key: VideoKey
) -> None:
    """After SIGTERM, `drain` waits until the video is done."""
    attempt = worker.start_attempt(put_request(bus, key))
    drained = threading.Thread(target=worker.drain)
    drained.start()
    wait_until(lambda: not _is_free(worker), seconds=5, what="draining has started")
    with pytest.raises(Unavailable):
        worker.start_attempt(put_request(bus, VideoKey("acme", "v2")))
    assert not attempt.finished.is_set()
    engine.go.set()
    drained.join(scaled(10))
    assert not drained.is_alive()
    assert _finish(attempt) == "completed"


def test_warnings_are_in_every_event_from_the_first_that_can_have_them(
    worker: Worker, bus: MemoryBus, ledger: Ledger, engine: StepEngine, key: VideoKey
) -> None:
    """Those of the request in `started`; those of the engine in the next renewal; both once."""
    engine.warnings = (truncated("prompt", 412, 255, "the used part"),)
    engine.error = EngineCrashed("It crashed.")
    seq = put_request(bus, key, seconds=4, num_frames=13)
    expected = ["seconds_ignored", "prompt_truncated"]
    attempt = worker.start_attempt(seq)
    renewed = wait_until(
        lambda: ledger.read(key) if ledger.read(key).name is EventName.PROGRESSED else None,
        seconds=5,
        what="progress",
    )
    assert isinstance(renewed.data, Progressed)
    assert [one.code for one in renewed.data.warnings] == expected
    engine.go.set()
    assert _finish(attempt) == "released"
    engine.error = None
    assert _finish(worker.start_attempt(seq)) == "completed"
    data = ledger.read(key).data
    assert isinstance(data, Completed)
    assert [one.code for one in data.warnings] == expected


def test_a_video_that_failed_for_good_keeps_the_engines_warnings(
    worker: Worker, bus: MemoryBus, ledger: Ledger, engine: StepEngine, key: VideoKey
) -> None:
    """However soon it failed, without a renewal between."""
    engine.warnings = (truncated("prompt", 412, 255, "the used part"),)
    engine.error = OutOfMemory("Too large.")
    engine.go.set()
    assert _finish(worker.start_attempt(put_request(bus, key))) == "failed"
    data = ledger.read(key).data
    assert isinstance(data, Failed)
    assert data.warnings == engine.warnings
