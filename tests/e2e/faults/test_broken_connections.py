"""What an outage of a server, or of the way to it, does to a video that is being made."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.faults.asking import Asking
from tests.e2e.faults.callers import Told
from tests.e2e.faults.stack import SHORT, SHORT_ACK_WAIT, WORKERS, FaultyStack
from tests.patience import wait_until

LEASE = float(SHORT["LEASE_SECONDS"])


@pytest.fixture
def asking(stack: FaultyStack) -> Asking:
    """A caller who watches the streams."""
    return Asking(stack)


def test_a_cut_connection_neither_stops_a_video_nor_starts_it_twice(
    stack: FaultyStack, asking: Asking
) -> None:
    """Between `dispatch` and its worker: the work does not depend on it."""
    [told] = asking.ask_and_hold()
    stack.proxies["sink"].cut()
    _dispatch_notices(stack, told)
    stack.engines.let_go()
    asking.wait(told, "completed")
    asking.check(told, state="completed", attempts=1)


def test_a_video_survives_the_death_of_nats(stack: FaultyStack, asking: Asking) -> None:
    """SIGKILL, and back with what it had on its disk: the same attempt goes on."""
    [told] = asking.ask_and_hold()
    stack.restart("nats")
    stack.engines.let_go()
    asking.wait(told, "completed")
    asking.check(told, state="completed", attempts=1)


def test_an_outage_longer_than_a_lease_takes_no_video_from_its_worker(
    stack: FaultyStack, asking: Asking
) -> None:
    """Nobody takes over before the worker had a moment to renew what it could not renew."""
    [told] = asking.ask_and_hold()
    stack.kill("nats")
    back = time.monotonic() + LEASE + 1
    wait_until(lambda: time.monotonic() > back, seconds=30, what="the lease has run out")
    stack.start("nats")
    stack.engines.let_go()
    asking.wait(told, "completed")
    asking.check(told, state="completed", attempts=1)


def test_the_queue_goes_on_at_once_after_an_outage_in_which_responses_ended(
    stack: FaultyStack, asking: Asking
) -> None:
    """Requests that could not be given back meanwhile must not hold their slots for long."""
    both = asking.ask_and_hold(len(WORKERS))
    stack.kill("nats")
    stack.proxies["sink"].cut()
    for told in both:
        _dispatch_notices(stack, told)
    stack.start("nats")
    stack.engines.let_go()
    for told in both:
        asking.wait(told, "completed")
    told = asking.ask(num_inference_steps=2)
    asking.wait(told, "completed", seconds=SHORT_ACK_WAIT / 2)
    asking.check(told, state="completed", attempts=1)


def test_a_worker_without_its_way_to_nats_loses_its_video_and_says_nothing_more(
    stack: FaultyStack, asking: Asking
) -> None:
    """It is cut off from everybody: another one takes over, and it removes its files."""
    [told] = asking.ask_and_hold()
    victim = asking.worker_of(told)
    stack.proxies[f"nats/{victim}"].refuse()
    # While its response is open, `dispatch` takes it for well.
    stack.proxies["sink"].cut()
    asking.wait(told, "started", attempt=2, seconds=60)
    stack.engines.let_go()
    stack.proxies[f"nats/{victim}"].heal()
    asking.wait(told, "completed", attempt=2)
    wait_until(
        lambda: f"{told.video_id}: attempt 1 ended: lost" in stack.whole_log(victim),
        seconds=30,
        what="the worker that was cut off let go",
    )
    stack.wait_ready(victim)
    asking.check(told, state="completed", attempts=2)


@pytest.mark.parametrize("harm", ["refuse", "spoil"])
def test_a_video_that_could_not_be_stored_is_made_again(
    stack: FaultyStack, asking: Asking, harm: str
) -> None:
    """The object store is away, or answers 500, when the files are ready."""
    getattr(stack.proxies["s3"], harm)()
    told = asking.ask(num_inference_steps=2)
    released = asking.wait(told, "progressed", lambda event: "error" in event.data)
    stack.proxies["s3"].heal()
    assert released.data["error"]["code"] == "unavailable"
    completed = asking.wait(told, "completed")
    asking.check(told, state="completed", attempts=completed.data["attempt"])


def test_a_killed_dispatch_costs_a_running_video_nothing(
    stack: FaultyStack, asking: Asking
) -> None:
    """The worker needs no connection to it, and the next one finds the video done."""
    [told] = asking.ask_and_hold()
    stack.restart("dispatch")
    stack.engines.let_go()
    asking.wait(told, "completed")
    asking.check(told, state="completed", attempts=1)


def test_what_a_caller_was_told_to_have_failed_never_becomes_a_video(
    stack: FaultyStack, asking: Asking
) -> None:
    """NATS freezes with the request in its socket: 503, and the late request is undone."""

    def refused_and_stored() -> Told | None:
        # `submit` asks for the backlog four times a second, and publishes nothing if that fails;
        # the first video lets the second one go past it.
        asking.ask(num_inference_steps=2)
        frozen = stack.freeze("nats")
        told = asking.submit(tries=1)
        for process in frozen:
            process.resume()
        assert told.outcome == "refused"
        stack.wait_ready("submit")
        return told if asking.states_of(told.nonce) else None

    told = wait_until(refused_and_stored, seconds=60, what="a refused request was stored late")
    wait_until(
        lambda: asking.states_of(told.nonce) == ["deleted"],
        seconds=30,
        what="the request that came late is undone",
    )


def test_a_request_with_a_key_becomes_one_video_however_often_it_is_sent(
    stack: FaultyStack, asking: Asking
) -> None:
    """The answer to the first try is lost on its way back."""
    way, nonce = stack.proxies["client"], uuid.uuid4().hex
    way.slow(1)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(asking.submit, "http with key", nonce, num_inference_steps=2)
        wait_until(lambda: asking.states_of(nonce), seconds=20, what="the request is stored")
        way.cut()
        way.heal()
        told = call.result()
    asking.wait(told, "completed")
    assert asking.states_of(nonce) == ["completed"]
    asking.check(told, state="completed", attempts=1)


def _dispatch_notices(stack: FaultyStack, told: Told) -> None:
    lost = f"{told.video_id}: the connection was lost"
    wait_until(lambda: lost in stack.whole_log("dispatch"), seconds=30, what=f"noticed: {lost}")
