"""Workers that die, freeze or stop: their videos complete exactly once."""

from __future__ import annotations

import pytest

from local.probes import is_ready
from tests.e2e.faults.requester import Requester
from tests.e2e.faults.stack import WORKERS, FaultyStack
from tests.log_lines import logged
from tests.patience import wait_until

pytestmark = pytest.mark.long


@pytest.fixture
def requester(stack: FaultyStack) -> Requester:
    """Requests videos from the shared stack."""
    return Requester(stack)


def test_a_frozen_worker_overwrites_nothing_after_a_takeover(
    stack: FaultyStack, requester: Requester
) -> None:
    """It resumes mid-video, finds that another worker holds the lease, and leaves no file."""
    [record] = requester.request_and_hold()
    victim = requester.worker_of(record)
    frozen = stack.freeze(victim)
    requester.wait(record, "started", attempt=2, seconds=60)
    for process in frozen:
        process.resume()
    requester.wait(record, "completed", attempt=2)
    wait_until(
        lambda: logged(
            stack.full_log(victim), "attempt ended: lost", video_id=record.video_id, attempt=1
        ),
        seconds=30,
        what="the frozen worker abandoned the video",
    )
    requester.check(record, state="completed", attempts=2)


def test_a_frozen_worker_stops_its_cancelled_video_when_it_resumes(
    stack: FaultyStack, requester: Requester
) -> None:
    """Cancelling returns immediately; the worker learns of it later."""
    [record] = requester.request_and_hold()
    victim = requester.worker_of(record)
    frozen = stack.freeze(victim)
    requester.callers.cancel(record)
    assert record.follow_up_result == "cancelled"
    for process in frozen:
        process.resume()
    wait_until(
        lambda: logged(
            stack.full_log(victim), "attempt ended: lost", video_id=record.video_id, attempt=1
        ),
        seconds=30,
        what="the frozen worker abandoned the video",
    )
    requester.check(record, state="cancelled", attempts=1)


def test_deleting_a_video_stops_its_worker_and_leaves_only_the_tombstone(
    stack: FaultyStack, requester: Requester
) -> None:
    """No request, no file, no late upload, and no event except the tombstone remain."""
    [record] = requester.request_and_hold()
    victim = requester.worker_of(record)
    requester.callers.delete(record)
    assert record.follow_up_result == "deleted"
    stack.engines.resume()
    wait_until(
        lambda: logged(
            stack.full_log(victim), "attempt ended: lost", video_id=record.video_id, attempt=1
        ),
        seconds=30,
        what="the worker abandoned the video",
    )
    requester.check(record, state="deleted", attempts=1)


def test_a_killed_engine_costs_exactly_one_attempt(
    stack: FaultyStack, requester: Requester
) -> None:
    """The worker reports the crash and releases its lease immediately; the video is retried."""
    [record] = requester.request_and_hold()
    engine = stack.engines.of(requester.worker_of(record))
    assert engine is not None
    engine.kill()
    released = requester.wait(record, "progressed", lambda event: "error" in event.data)
    assert released.data["error"]["code"] == "engine_crashed"
    requester.wait(record, "completed", attempt=2)
    requester.check(record, state="completed", attempts=2)


def test_sigterm_lets_a_worker_finish_its_video(stack: FaultyStack, requester: Requester) -> None:
    """As in a scale-down: the video completes in the same attempt, then the process exits."""
    [record] = requester.request_and_hold()
    victim = requester.worker_of(record)
    stack.stop(victim, seconds=90, then=stack.engines.resume)
    requester.check(record, state="completed", attempts=1)
    stack.start(victim)


def test_sigterm_lets_a_worker_finish_after_its_connection_was_lost(
    stack: FaultyStack, requester: Requester
) -> None:
    """Without a connection, the platform considers the worker idle and terminates it."""
    [record] = requester.request_and_hold()
    victim = requester.worker_of(record)
    stack.proxies["sink"].cut()
    probe = stack.table[victim].probe
    wait_until(
        lambda: not is_ready(probe), seconds=15, what="the worker noticed the lost connection"
    )
    stack.stop(victim, seconds=90, then=stack.engines.resume)
    requester.check(record, state="completed", attempts=1)
    stack.start(victim)


def test_videos_survive_the_loss_of_both_workers(stack: FaultyStack, requester: Requester) -> None:
    """The videos are retried once the workers are back."""
    both = requester.request_and_hold(len(WORKERS))
    for name in WORKERS:
        stack.kill(name)
    stack.start(*WORKERS)
    for record in both:
        requester.wait(record, "completed", attempt=2, seconds=90)
        requester.check(record, state="completed", attempts=2)
