"""What strangers send must harm nobody: requests that can't be run, and other accounts' keys."""

from __future__ import annotations

import uuid

import pytest

from tests.e2e.faults.asking import Asking
from tests.e2e.faults.checker import check
from tests.e2e.faults.plan import Submission
from tests.e2e.faults.poison import POISONS, SMALLEST
from tests.e2e.faults.stack import KEYS, FaultyStack
from tests.patience import wait_until


@pytest.fixture
def asking(stack: FaultyStack) -> Asking:
    """A caller who watches the streams."""
    return Asking(stack)


def test_poison_ends_with_a_reason_and_never_reaches_a_worker(
    stack: FaultyStack, asking: Asking
) -> None:
    """Garbage, wrong types, huge prompts, unknown versions, odd ids: all at once, into NATS."""
    told = []
    for poison in POISONS:
        nonce = uuid.uuid4().hex[:12]
        told += asking.callers.run(
            Submission(0, "poison", "acme", nonce, SMALLEST, "none", 0, poison)
        )
    assert {one.outcome for one in told} == {"accepted"}
    good = asking.ask(**SMALLEST)
    asking.wait(good, "completed")
    wait_until(stack.streams.settled, seconds=60, what="all of it is settled")
    verdict = check(stack.streams, stack.s3(), [*told, good])
    assert not verdict.violations, verdict.report


def test_an_id_published_twice_is_one_video(stack: FaultyStack, asking: Asking) -> None:
    """Before it runs, while it runs and when it is done: it is made once."""
    nonce = uuid.uuid4().hex
    stack.engines.hold()
    again = [asking.submit("nats", nonce) for _ in range(2)][-1]
    asking.wait(again, "started")
    asking.submit("nats", nonce)
    stack.engines.let_go()
    asking.wait(again, "completed")
    asking.submit("nats", nonce)
    wait_until(stack.streams.settled, seconds=60, what="all of them are settled")
    asking.check(again, state="completed", attempts=1)


def test_an_account_can_neither_see_nor_end_anothers_video(
    stack: FaultyStack, asking: Asking
) -> None:
    """Not by its id, not with the same key, and a stranger's attempts change nothing."""
    [told] = asking.ask_and_hold()
    asking.callers.intrude(told)
    assert told.foreign == [404] * 4
    stack.engines.let_go()
    asking.wait(told, "completed")
    asking.check(told, state="completed", attempts=1)


def test_the_same_idempotency_key_is_another_video_for_another_account(asking: Asking) -> None:
    """Accounts choose their keys without knowing of each other."""
    nonce = uuid.uuid4().hex
    both = [asking.submit("http with key", nonce, account=name, **SMALLEST) for name in KEYS]
    assert len({told.video_id for told in both}) == len(KEYS)
    for told in both:
        asking.wait(told, "completed")
        asking.check(told, state="completed", attempts=1)
