"""Invalid requests, duplicates, and other accounts must not affect a video."""

from __future__ import annotations

import uuid

import pytest

from tests.e2e.faults.checker import check
from tests.e2e.faults.poison import POISONS, SMALLEST
from tests.e2e.faults.requester import Requester
from tests.e2e.faults.schedule import Submission
from tests.e2e.faults.stack import KEYS, FaultyStack
from tests.patience import wait_until

pytestmark = pytest.mark.long


@pytest.fixture
def requester(stack: FaultyStack) -> Requester:
    """Requests videos from the shared stack."""
    return Requester(stack)


def test_poison_messages_fail_with_a_reason_and_never_reach_a_worker(
    stack: FaultyStack, requester: Requester
) -> None:
    """Garbage, wrong types, huge prompts, unknown versions and invalid ids, published to NATS."""
    records = []
    for poison in POISONS:
        nonce = uuid.uuid4().hex[:12]
        records += requester.callers.run(
            Submission(0, "poison", "acme", nonce, SMALLEST, "none", 0, poison)
        )
    assert {record.outcome for record in records} == {"accepted"}
    valid = requester.request(**SMALLEST)
    requester.wait(valid, "completed")
    wait_until(stack.streams.is_idle, seconds=60, what="all requests are processed")
    verdict = check(stack.streams, stack.s3(), [*records, valid])
    assert not verdict.violations, verdict.report


def test_publishing_an_id_again_creates_no_second_video(
    stack: FaultyStack, requester: Requester
) -> None:
    """Published again before, during and after its run, the video is rendered once."""
    nonce = uuid.uuid4().hex
    stack.engines.hold()
    duplicate = [requester.submit("nats", nonce) for _ in range(2)][-1]
    requester.wait(duplicate, "started")
    requester.submit("nats", nonce)
    stack.engines.resume()
    requester.wait(duplicate, "completed")
    requester.submit("nats", nonce)
    wait_until(stack.streams.is_idle, seconds=60, what="all requests are processed")
    requester.check(duplicate, state="completed", attempts=1)


def test_an_account_cannot_read_or_end_the_video_of_another(
    stack: FaultyStack, requester: Requester
) -> None:
    """Every attempt with another account's key gets 404 and changes nothing."""
    [record] = requester.request_and_hold()
    requester.callers.intrude(record)
    assert record.foreign_statuses == [404] * 4
    stack.engines.resume()
    requester.wait(record, "completed")
    requester.check(record, state="completed", attempts=1)


def test_idempotency_keys_are_scoped_to_an_account(requester: Requester) -> None:
    """The same key from two accounts creates two videos."""
    nonce = uuid.uuid4().hex
    both = [requester.submit("http with key", nonce, account=name, **SMALLEST) for name in KEYS]
    assert len({record.video_id for record in both}) == len(KEYS)
    for record in both:
        requester.wait(record, "completed")
        requester.check(record, state="completed", attempts=1)
