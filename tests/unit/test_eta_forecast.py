"""When videos are expected to be completed, and that nothing is said while too little is known."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.shared.streams.bus import Message
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import NANOSECONDS, format_rfc3339
from functions.shared.video.events import Cancelled, EventName, Started, VideoData, carried_over
from functions.status.eta import forecast
from functions.status.eta.forecast import QueueForecast
from tests.unit.events import completed, progressed, resolved, started

NOW = 1_795_000_000


@pytest.fixture(autouse=True)
def _always_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "IDLE_REFRESH_SECONDS", -1.0)
    monkeypatch.setattr(forecast, "PAUSE_FACTOR", 0)


class Simulation:
    """A forecast, and events for it. Times in seconds."""

    def __init__(self, *, min_replicas: int = 2, max_in_flight: int = 2) -> None:
        """Start without any event."""
        self.forecast = QueueForecast(min_replicas=min_replicas, max_in_flight=max_in_flight)
        self.seq = 0

    def request(self, name: str, at: float = NOW, *, valid: bool = True) -> VideoKey:
        """Queue a request."""
        self.seq += 1
        key = VideoKey("acme", name)
        message = Message(key.request_subject, self.seq, int(at * NANOSECONDS), b"")
        self.forecast.add_request(key, message, resolved(key) if valid else None)
        return key

    def start(self, key: VideoKey, at: float, *, worker: str = "w1") -> None:
        """A worker starts the video."""
        self._apply(key, EventName.STARTED, self._started(key, at, worker), at)

    def progress(self, key: VideoKey, begun: float, at: float, progress: int) -> None:
        """Its worker reports progress, in percent."""
        data = progressed(self._started(key, begun, "w1"), progress=progress)
        self._apply(key, EventName.PROGRESSED, data, at)

    def complete(self, key: VideoKey, begun: float, at: float, *, worker: str = "w1") -> None:
        """The video is completed, after spending all of its time on denoising."""
        data = completed(self._started(key, begun, worker), prefix=f"{key.object_prefix}1-x/")
        data = data.model_copy(update={"timings": {"denoising": at - begun}})
        self._apply(key, EventName.COMPLETED, data, at)

    def cancel(self, key: VideoKey) -> None:
        """The video is cancelled."""
        self._apply(key, EventName.CANCELLED, Cancelled(**carried_over(started(key))), NOW)

    def _started(self, key: VideoKey, at: float, worker: str) -> Started:
        then = format_rfc3339(int(at * NANOSECONDS))
        return started(key).model_copy(
            update={"created_at": then, "started_at": then, "worker": worker}
        )

    def _apply(self, key: VideoKey, name: EventName, data: VideoData, at: float) -> None:
        self.seq += 1
        snapshot = Snapshot(key, self.seq, name, "e", data, int(at * NANOSECONDS))
        self.forecast.apply_event(key, snapshot)

    def eta(self, key: VideoKey, at: float = NOW) -> float | None:
        """The video's ETA at a given time."""
        return self.forecast.eta_seconds(key, int(at * NANOSECONDS))


def _with_history(**options: int) -> Simulation:
    """Two workers have completed one video each, in ten seconds."""
    simulation = Simulation(**options)
    for worker in ("w1", "w2"):
        key = simulation.request(f"done-{worker}", NOW - 20)
        simulation.complete(key, NOW - 11, NOW - 1, worker=worker)
    return simulation


def test_there_is_no_eta_while_too_little_is_known() -> None:
    """No video was completed yet, or the video has ended, or the queue is stalled."""
    simulation = Simulation()
    key = simulation.request("v1")
    assert simulation.eta(key) is None
    simulation.start(key, NOW)
    assert simulation.eta(key) is None
    simulation.complete(key, NOW, NOW + 10)
    assert simulation.eta(key) is None
    assert simulation.eta(VideoKey("acme", "unknown")) is None
    waiting = simulation.request("v2", NOW + 10)
    assert simulation.eta(waiting, NOW + 11) is not None
    assert simulation.eta(waiting, NOW + 60) is None, "no worker has taken it"


def test_the_eta_of_a_first_video_extrapolates_its_progress() -> None:
    """A quarter in ten seconds leaves thirty."""
    simulation = Simulation()
    key = simulation.request("v1")
    simulation.start(key, NOW)
    simulation.progress(key, NOW, NOW + 10, 25)
    assert simulation.eta(key, NOW + 10) == 30
    assert simulation.eta(key, NOW + 12) == 28


def test_the_eta_of_queued_videos_follows_from_the_number_of_slots() -> None:
    """Two at a time, in the order of the requests; a cancelled one makes room for the next."""
    simulation = _with_history()
    keys = [simulation.request(f"v{n}") for n in range(5)]
    assert [simulation.eta(key) for key in keys] == [10, 10, 20, 20, 30]
    simulation.start(keys[0], NOW)
    assert [simulation.eta(key, NOW + 4) for key in keys] == [6, 10, 16, 20, 26]
    simulation.cancel(keys[1])
    assert [simulation.eta(key, NOW + 4) for key in keys] == [6, None, 10, 16, 20]
    positions = [simulation.forecast.queue_position(key) for key in keys]
    assert positions == [None, None, 1, 2, 3]


def test_an_invalid_request_takes_no_time() -> None:
    """It will be failed at once, and has no ETA."""
    simulation = _with_history(min_replicas=1, max_in_flight=1)
    invalid, valid = simulation.request("invalid", valid=False), simulation.request("valid")
    assert (simulation.eta(invalid), simulation.eta(valid)) == (None, 10)


def test_additional_replicas_count_once_they_were_seen() -> None:
    """Of at most four, two always run; the others count when one of their videos has ended."""
    simulation = _with_history(min_replicas=2, max_in_flight=4)
    keys = [simulation.request(f"v{n}") for n in range(4)]
    assert [simulation.eta(key) for key in keys] == [10, 10, 20, 20]
    for worker in ("w3", "w4", "w5"):
        key = simulation.request(f"by-{worker}", NOW - 20)
        simulation.complete(key, NOW - 10, NOW, worker=worker)
    assert [simulation.eta(key) for key in keys] == [10, 10, 10, 10]


def test_the_eta_of_a_late_video_is_zero_until_its_worker_is_lost() -> None:
    """After a minute without an event, the video is expected to be rendered again."""
    simulation = _with_history()
    key = simulation.request("v1")
    simulation.start(key, NOW)
    assert simulation.eta(key, NOW + 30) == 0
    assert simulation.eta(key, NOW + 90) == 10


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_etas_grow_with_the_queue_position(seed: int, slots: int) -> None:
    """With equal work, no video is expected before one ahead of it, and no ETA is negative."""
    rng = random.Random(seed)
    simulation = _with_history(min_replicas=slots, max_in_flight=slots)
    keys = [simulation.request(f"v{n}") for n in range(12)]
    for key in keys[:slots]:
        if rng.random() < 0.5:
            begun = NOW - rng.uniform(0, 40)
            simulation.start(key, begun)
            simulation.progress(key, begun, NOW, rng.randrange(100))
    queued = [simulation.eta(key) for key in keys if simulation.forecast.queue_position(key)]
    assert all(eta is not None and eta >= 0 for eta in queued)
    assert queued == sorted(queued, key=lambda eta: eta or 0)
    assert all((simulation.eta(key) or 0) >= 0 for key in keys)


def test_a_long_queue_is_simulated_once_and_not_for_each_video(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any number of queries share one simulation; later requests wait for the next one.

    A pause of many times what it takes comes before that.
    """
    monkeypatch.setattr(forecast, "PAUSE_FACTOR", 1e9)
    simulation = _with_history()
    keys = [simulation.request(f"v{n}") for n in range(1000)]
    runs = 0
    original = QueueForecast._simulate

    def counted(self: QueueForecast, now: float) -> None:
        nonlocal runs
        runs += 1
        original(self, now)

    monkeypatch.setattr(QueueForecast, "_simulate", counted)
    assert simulation.eta(keys[-1]) == 5000
    late = simulation.request("late")
    assert simulation.eta(late) is None
    assert simulation.forecast.queue_position(late) == 1001
    assert [simulation.eta(key) for key in keys[:2]] == [10, 10]
    assert runs == 1
