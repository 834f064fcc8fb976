"""What a worker's death or silence does to its video: it is made once, and ends once."""

from __future__ import annotations

import pytest

from local.probes import is_ready
from tests.e2e.faults.asking import Asking
from tests.e2e.faults.stack import WORKERS, FaultyStack
from tests.patience import wait_until


@pytest.fixture
def asking(stack: FaultyStack) -> Asking:
    """A caller who watches the streams."""
    return Asking(stack)


def test_a_worker_that_froze_does_not_overwrite_the_one_that_took_over(
    stack: FaultyStack, asking: Asking
) -> None:
    """It comes back with the video half made, finds its lease taken, and leaves no file."""
    [told] = asking.ask_and_hold()
    victim = asking.worker_of(told)
    frozen = stack.freeze(victim)
    asking.wait(told, "started", attempt=2, seconds=60)
    for process in frozen:
        process.resume()
    asking.wait(told, "completed", attempt=2)
    wait_until(
        lambda: f"{told.video_id}: attempt 1 ended: lost" in stack.whole_log(victim),
        seconds=30,
        what="the frozen worker let go",
    )
    asking.check(told, state="completed", attempts=2)


def test_a_cancelled_video_stops_when_its_frozen_worker_wakes_up(
    stack: FaultyStack, asking: Asking
) -> None:
    """The cancellation is answered at once, and the worker hears of it when it can."""
    [told] = asking.ask_and_hold()
    victim = asking.worker_of(told)
    frozen = stack.freeze(victim)
    asking.callers.cancel(told)
    assert told.ended == "cancelled"
    for process in frozen:
        process.resume()
    wait_until(
        lambda: f"{told.video_id}: attempt 1 ended: lost" in stack.whole_log(victim),
        seconds=30,
        what="the frozen worker let go",
    )
    asking.check(told, state="cancelled", attempts=1)


def test_a_deleted_video_leaves_nothing_though_its_worker_was_busy(
    stack: FaultyStack, asking: Asking
) -> None:
    """No event but the tombstone, no request, no file, and no upload that comes late."""
    [told] = asking.ask_and_hold()
    victim = asking.worker_of(told)
    asking.callers.delete(told)
    assert told.ended == "deleted"
    stack.engines.let_go()
    wait_until(
        lambda: f"{told.video_id}: attempt 1 ended: lost" in stack.whole_log(victim),
        seconds=30,
        what="the worker let go",
    )
    asking.check(told, state="deleted", attempts=1)


def test_a_killed_engine_costs_one_attempt_and_no_more(stack: FaultyStack, asking: Asking) -> None:
    """The worker itself says so, without waiting for its lease, and the video is made again."""
    [told] = asking.ask_and_hold()
    engine = stack.engines.of(asking.worker_of(told))
    assert engine is not None
    engine.kill()
    released = asking.wait(told, "progressed", lambda event: "error" in event.data)
    assert released.data["error"]["code"] == "engine_crashed"
    asking.wait(told, "completed", attempt=2)
    asking.check(told, state="completed", attempts=2)


def test_sigterm_lets_a_worker_finish_its_video(stack: FaultyStack, asking: Asking) -> None:
    """As at a scale-down: the process ends, the video is whole, and nobody began it again."""
    [told] = asking.ask_and_hold()
    victim = asking.worker_of(told)
    stack.stop(victim, seconds=90, then=stack.engines.let_go)
    asking.check(told, state="completed", attempts=1)
    stack.start(victim)


def test_sigterm_lets_a_worker_finish_though_nobody_listens(
    stack: FaultyStack, asking: Asking
) -> None:
    """The connection is lost, so the platform takes the worker for idle, and ends it."""
    [told] = asking.ask_and_hold()
    victim = asking.worker_of(told)
    stack.proxies["sink"].cut()
    probe = stack.table[victim].probe
    wait_until(lambda: not is_ready(probe), seconds=15, what="the loss was noticed")
    stack.stop(victim, seconds=90, then=stack.engines.let_go)
    asking.check(told, state="completed", attempts=1)
    stack.start(victim)


def test_both_workers_may_die_at_once(stack: FaultyStack, asking: Asking) -> None:
    """Their videos wait for whoever comes back, and are made then."""
    both = asking.ask_and_hold(len(WORKERS))
    for name in WORKERS:
        stack.kill(name)
    stack.start(*WORKERS)
    for told in both:
        asking.wait(told, "completed", attempt=2, seconds=90)
        asking.check(told, state="completed", attempts=2)
