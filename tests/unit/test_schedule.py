"""When videos will be done: true to what is known, and silent where nothing is."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.shared.streams.bus import Message
from functions.shared.streams.ledger import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import NANOSECONDS, format_rfc3339
from functions.shared.video.events import Cancelled, EventName, Started, VideoData, carried_over
from functions.shared.video.progress import Stage
from functions.status import schedule as module
from functions.status.costs import Costs, Work, remaining
from functions.status.schedule import Schedule
from tests.unit.events import completed, progressed, resolved, started

NOW = 1_795_000_000


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFRESH_SECONDS", -1.0)
    monkeypatch.setattr(module, "STANDS_SECONDS", -1.0)
    monkeypatch.setattr(module, "REST", 0)


def _work(tokens: int = 120, steps: int = 16, *, guided: bool = True) -> Work:
    return Work("m", tokens, steps, guided, tokens * 256)


class World:
    """A schedule, and events for it. Times in seconds."""

    def __init__(self, *, min_replicas: int = 2, max_in_flight: int = 2) -> None:
        """Nothing has happened."""
        self.schedule = Schedule(min_replicas=min_replicas, max_in_flight=max_in_flight)
        self.seq = 0

    def request(self, name: str, at: float = NOW, *, valid: bool = True) -> VideoKey:
        """A request waits."""
        self.seq += 1
        key = VideoKey("acme", name)
        message = Message(key.request_subject, self.seq, int(at * NANOSECONDS), b"")
        self.schedule.wait(key, message, resolved(key) if valid else None)
        return key

    def start(self, key: VideoKey, at: float, *, worker: str = "w1") -> None:
        """A worker takes it."""
        self._say(key, EventName.STARTED, self._started(key, at, worker), at)

    def progress(self, key: VideoKey, begun: float, at: float, progress: int) -> None:
        """It has come so far."""
        data = progressed(self._started(key, begun, "w1"), progress=progress)
        self._say(key, EventName.PROGRESSED, data, at)

    def complete(self, key: VideoKey, begun: float, at: float, *, worker: str = "w1") -> None:
        """It took all of the time for denoising."""
        data = completed(self._started(key, begun, worker), prefix=f"{key.object_prefix}1-x/")
        data = data.model_copy(update={"timings": {"denoising": at - begun}})
        self._say(key, EventName.COMPLETED, data, at)

    def cancel(self, key: VideoKey) -> None:
        """Somebody cancels it."""
        self._say(key, EventName.CANCELLED, Cancelled(**carried_over(started(key))), NOW)

    def _started(self, key: VideoKey, at: float, worker: str) -> Started:
        then = format_rfc3339(int(at * NANOSECONDS))
        return started(key).model_copy(
            update={"created_at": then, "started_at": then, "worker": worker}
        )

    def _say(self, key: VideoKey, name: EventName, data: VideoData, at: float) -> None:
        self.seq += 1
        snapshot = Snapshot(key, self.seq, name, "e", data, int(at * NANOSECONDS))
        self.schedule.follow(key, snapshot)

    def eta(self, key: VideoKey, at: float = NOW) -> float | None:
        """What is said at a moment."""
        return self.schedule.eta(key, int(at * NANOSECONDS))


def _experienced(**options: int) -> World:
    """A world in which both workers have made a video in ten seconds each."""
    world = World(**options)
    for worker in ("w1", "w2"):
        key = world.request(f"done-{worker}", NOW - 20)
        world.complete(key, NOW - 11, NOW - 1, worker=worker)
    return world


def test_nothing_is_said_where_nothing_is_known() -> None:
    """No video was finished yet, or the video has ended, or nobody takes any."""
    world = World()
    key = world.request("v1")
    assert world.eta(key) is None
    world.start(key, NOW)
    assert world.eta(key) is None
    world.complete(key, NOW, NOW + 10)
    assert world.eta(key) is None
    assert world.eta(VideoKey("acme", "nobody")) is None
    waiting = world.request("v2", NOW + 10)
    assert world.eta(waiting, NOW + 11) is not None
    assert world.eta(waiting, NOW + 60) is None, "it waits in vain"


def test_a_first_video_goes_by_its_own_progress() -> None:
    """A quarter in ten seconds leaves thirty."""
    world = World()
    key = world.request("v1")
    world.start(key, NOW)
    world.progress(key, NOW, NOW + 10, 25)
    assert world.eta(key, NOW + 10) == 30
    assert world.eta(key, NOW + 12) == 28


def test_a_queue_is_worked_off_by_as_many_as_there_are() -> None:
    """Two at a time, in the order of the requests; a cancelled one makes room for the next."""
    world = _experienced()
    keys = [world.request(f"v{n}") for n in range(5)]
    assert [world.eta(key) for key in keys] == [10, 10, 20, 20, 30]
    world.start(keys[0], NOW)
    assert [world.eta(key, NOW + 4) for key in keys] == [6, 10, 16, 20, 26]
    world.cancel(keys[1])
    assert [world.eta(key, NOW + 4) for key in keys] == [6, None, 10, 16, 20]
    assert [world.schedule.position(key) for key in keys] == [None, None, 1, 2, 3]


def test_a_request_that_is_not_valid_takes_no_time() -> None:
    """It will be failed at once, and has no end that could be foretold."""
    world = _experienced(min_replicas=1, max_in_flight=1)
    bad, good = world.request("bad", valid=False), world.request("good")
    assert (world.eta(bad), world.eta(good)) == (None, 10)


def test_more_replicas_count_once_they_were_seen() -> None:
    """Of four that there may be, two are always there; a third has to show itself."""
    world = _experienced(min_replicas=2, max_in_flight=4)
    keys = [world.request(f"v{n}") for n in range(4)]
    assert [world.eta(key) for key in keys] == [10, 10, 20, 20]
    for worker in ("w3", "w4", "w5"):
        world.complete(world.request(f"by-{worker}", NOW - 20), NOW - 10, NOW, worker=worker)
    assert [world.eta(key) for key in keys] == [10, 10, 10, 10]


def test_a_video_that_runs_late_is_due_now_and_never_before() -> None:
    """And one whose worker is silent for a minute is expected to be made anew."""
    world = _experienced()
    key = world.request("v1")
    world.start(key, NOW)
    assert world.eta(key, NOW + 30) == 0
    assert world.eta(key, NOW + 90) == 10


def test_a_slow_video_is_believed_more_the_further_it_is() -> None:
    """Half as fast as expected: at first a little later than expected, at the end twice as late."""
    expected = {"denoising": 100.0}
    early = remaining(expected, Stage.DENOISING, 2 + 8, 0.1 * 200)
    late = remaining(expected, Stage.DENOISING, 2 + 77, 0.9 * 200)
    assert early is not None
    assert late is not None
    assert 90 < early < 120
    assert 17 < late < 22


def test_similar_videos_tell_what_another_costs() -> None:
    """In proportion to its steps and tokens; outliers, and other sizes, are passed over."""
    costs = Costs()
    for tokens in (60, 120, 480):
        for _ in range(7):
            # More for each token, the more of them there are, as attention has it.
            costs.learn(_work(tokens), {"denoising": 0.001 * tokens * tokens}, None)
    for _ in range(3):
        costs.learn(_work(120), {"denoising": 900.0}, None)
    expected = costs.expected(_work(120, steps=32))
    assert expected is not None
    assert expected["denoising"] == pytest.approx(2 * 0.001 * 120 * 120)
    assert costs.expected(dataclasses.replace(_work(), model="other")) is None


def test_guidance_costs_what_it_was_seen_to_cost() -> None:
    """A second branch is double the work, unless videos of both kinds say otherwise."""
    costs = Costs()
    costs.learn(_work(guided=True), {"denoising": 10.0}, None)
    alone = costs.expected(_work(guided=False))
    for _ in range(7):
        costs.learn(_work(guided=False), {"denoising": 9.0}, None)
    known = costs.expected(_work(guided=False))
    assert alone is not None
    assert known is not None
    assert (alone["denoising"], known["denoising"]) == (5.0, 9.0)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_the_longer_one_waits_behind_others_the_later_one_is_done(seed: int, slots: int) -> None:
    """With equal work, nobody further behind is expected earlier, and nothing is negative."""
    rng = random.Random(seed)
    world = _experienced(min_replicas=slots, max_in_flight=slots)
    keys = [world.request(f"v{n}") for n in range(12)]
    for key in keys[:slots]:
        if rng.random() < 0.5:
            begun = NOW - rng.uniform(0, 40)
            world.start(key, begun)
            world.progress(key, begun, NOW, rng.randrange(100))
    queued = [world.eta(key) for key in keys if world.schedule.position(key)]
    assert all(eta is not None and eta >= 0 for eta in queued)
    assert queued == sorted(queued, key=lambda eta: eta or 0)
    assert all((world.eta(key) or 0) >= 0 for key in keys)


def test_a_long_queue_is_scheduled_once_and_not_for_each_video(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand questions cost one schedule; who comes meanwhile is put at its end."""
    monkeypatch.setattr(module, "REFRESH_SECONDS", 3600.0)
    monkeypatch.setattr(module, "STANDS_SECONDS", 3600.0)
    world = _experienced()
    keys = [world.request(f"v{n}") for n in range(1000)]
    made = 0
    original = Schedule._make

    def counted(self: Schedule, now: float) -> None:
        nonlocal made
        made += 1
        original(self, now)

    monkeypatch.setattr(Schedule, "_make", counted)
    assert world.eta(keys[-1]) == 5000
    late = world.request("late")
    assert world.eta(late) == 5010
    assert [world.eta(key) for key in keys[:2]] == [10, 10]
    assert made == 1
