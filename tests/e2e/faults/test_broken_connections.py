"""Outages of servers, and of the connections to them, while a video is in progress."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.faults.caller_record import CallerRecord
from tests.e2e.faults.requester import Requester
from tests.e2e.faults.stack import SHORT, SHORT_ACK_WAIT, WORKERS, FaultyStack
from tests.log_lines import logged
from tests.patience import wait_until

pytestmark = pytest.mark.long

LEASE = float(SHORT["LEASE_SECONDS"])


@pytest.fixture
def requester(stack: FaultyStack) -> Requester:
    """Requests videos from the shared stack."""
    return Requester(stack)


def test_a_cut_connection_to_dispatch_does_not_affect_a_running_video(
    stack: FaultyStack, requester: Requester
) -> None:
    """The worker does not depend on its connection to `dispatch`: no stop, no second attempt."""
    [record] = requester.request_and_hold()
    stack.proxies["sink"].cut()
    _dispatch_notices(stack, record)
    stack.engines.resume()
    requester.wait(record, "completed")
    requester.check(record, state="completed", attempts=1)


def test_a_running_video_survives_a_restart_of_nats(
    stack: FaultyStack, requester: Requester
) -> None:
    """After SIGKILL and a restart with the data on disk, the same attempt continues."""
    [record] = requester.request_and_hold()
    stack.restart("nats")
    stack.engines.resume()
    requester.wait(record, "completed")
    requester.check(record, state="completed", attempts=1)


def test_a_worker_keeps_its_video_through_an_outage_longer_than_its_lease(
    stack: FaultyStack, requester: Requester
) -> None:
    """After the outage, a grace period lets the worker renew its lease before any takeover."""
    [record] = requester.request_and_hold()
    stack.kill("nats")
    expiry = time.monotonic() + LEASE + 1
    wait_until(lambda: time.monotonic() > expiry, seconds=30, what="the lease has expired")
    stack.start("nats")
    stack.engines.resume()
    requester.wait(record, "completed")
    requester.check(record, state="completed", attempts=1)


def test_the_queue_resumes_promptly_after_an_outage_that_ended_responses(
    stack: FaultyStack, requester: Requester
) -> None:
    """Requests that could not be released during the outage must not block their slots for long."""
    both = requester.request_and_hold(len(WORKERS))
    stack.kill("nats")
    stack.proxies["sink"].cut()
    for record in both:
        _dispatch_notices(stack, record)
    stack.start("nats")
    stack.engines.resume()
    for record in both:
        requester.wait(record, "completed")
    record = requester.request(num_inference_steps=2)
    requester.wait(record, "completed", seconds=SHORT_ACK_WAIT / 2)
    requester.check(record, state="completed", attempts=1)


def test_a_worker_cut_off_from_nats_loses_its_video_and_publishes_nothing_more(
    stack: FaultyStack, requester: Requester
) -> None:
    """Another worker takes over; the one that was cut off removes its files."""
    [record] = requester.request_and_hold()
    victim = requester.worker_of(record)
    stack.proxies[f"nats/{victim}"].refuse()
    # While the worker's response is open, `dispatch` considers the worker alive.
    stack.proxies["sink"].cut()
    requester.wait(record, "started", attempt=2, seconds=60)
    stack.engines.resume()
    stack.proxies[f"nats/{victim}"].heal()
    requester.wait(record, "completed", attempt=2)
    wait_until(
        lambda: logged(
            stack.full_log(victim), "attempt ended: lost", video_id=record.video_id, attempt=1
        ),
        seconds=30,
        what="the cut-off worker abandoned the video",
    )
    stack.wait_ready(victim)
    requester.check(record, state="completed", attempts=2)


@pytest.mark.parametrize("fault", ["refuse", "answer_errors"])
def test_a_video_that_could_not_be_stored_is_rendered_once(
    stack: FaultyStack, requester: Requester, fault: str
) -> None:
    """The object store is unreachable, or answers 500, when the files are uploaded."""
    [record] = requester.request_and_hold()
    getattr(stack.proxies["s3"], fault)()
    stack.engines.resume()
    worker = requester.worker_of(record)
    waits = f"{record.account}/{record.video_id}/1-"
    wait_until(
        lambda: any(
            waits in line and "waits for its upload" in line
            for line in stack.full_log(worker).splitlines()
        ),
        seconds=30,
        what="the upload waits",
    )
    stack.proxies["s3"].heal()
    requester.wait(record, "completed")
    requester.check(record, state="completed", attempts=1)


def test_killing_dispatch_does_not_affect_a_running_video(
    stack: FaultyStack, requester: Requester
) -> None:
    """The worker needs no connection to it; the restarted `dispatch` finds the video completed."""
    [record] = requester.request_and_hold()
    stack.restart("dispatch")
    stack.engines.resume()
    requester.wait(record, "completed")
    requester.check(record, state="completed", attempts=1)


def test_a_refused_request_that_is_stored_late_is_withdrawn(
    stack: FaultyStack, requester: Requester
) -> None:
    """NATS freezes with the request in its socket: 503, and the request is withdrawn later."""

    def refused_and_stored() -> CallerRecord | None:
        # `submit` reads the backlog four times a second, and publishes nothing if that fails;
        # after the first video, the second one needs no new read.
        requester.request(num_inference_steps=2)
        frozen = stack.freeze("nats")
        record = requester.submit(tries=1)
        for process in frozen:
            process.resume()
        assert record.outcome == "refused"
        stack.wait_ready("submit")
        return record if requester.states_of(record.nonce) else None

    record = wait_until(refused_and_stored, seconds=60, what="a refused request was stored late")
    wait_until(
        lambda: requester.states_of(record.nonce) == ["deleted"],
        seconds=30,
        what="the late request is withdrawn",
    )


def test_a_retry_with_the_same_idempotency_key_creates_no_second_video(
    stack: FaultyStack, requester: Requester
) -> None:
    """The response to the first try is lost."""
    proxy, nonce = stack.proxies["client"], uuid.uuid4().hex
    proxy.slow(1)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(requester.submit, "http with key", nonce, num_inference_steps=2)
        wait_until(lambda: requester.states_of(nonce), seconds=20, what="the request is stored")
        proxy.cut()
        proxy.heal()
        record = call.result()
    requester.wait(record, "completed")
    assert requester.states_of(nonce) == ["completed"]
    requester.check(record, state="completed", attempts=1)


def _dispatch_notices(stack: FaultyStack, record: CallerRecord) -> None:
    lost = "the connection to generate was lost"
    wait_until(
        lambda: logged(stack.full_log("dispatch"), lost, video_id=record.video_id),
        seconds=30,
        what=f"in the log: {lost}",
    )
