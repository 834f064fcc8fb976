"""What is believed of the object store between two writes, and what the log says of it."""

from __future__ import annotations

import pytest

from functions.shared.errors import Unavailable
from functions.shared.write_check import FRESH_SECONDS, RETRY_SECONDS, WriteCheck
from tests.fakes import MemoryStore


class Clock:
    """A clock that the test sets, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at 0."""
    return Clock()


@pytest.fixture
def check(store: MemoryStore, clock: Clock) -> WriteCheck:
    """A check that has written nothing yet."""
    return WriteCheck(store, clock=clock)


def _refused(check: WriteCheck) -> str | None:
    try:
        check.check()
    except Unavailable as problem:
        return problem.message
    return None


def test_a_success_is_believed_for_some_seconds(
    check: WriteCheck, store: MemoryStore, clock: Clock
) -> None:
    """However often it is asked, the store gets one write in that time."""
    check.check()
    clock.now = FRESH_SECONDS - 0.1
    store.unavailable = True
    check.check()
    assert store.checks == 1
    clock.now = FRESH_SECONDS
    assert _refused(check)


def test_a_store_that_is_back_is_noticed_soon(
    check: WriteCheck, store: MemoryStore, clock: Clock
) -> None:
    """A failure is believed for a shorter time than a success."""
    store.unavailable = True
    assert _refused(check)
    store.unavailable = False
    clock.now = RETRY_SECONDS - 0.1
    assert _refused(check)
    clock.now = RETRY_SECONDS
    check.check()


def test_the_log_tells_once_that_the_store_refuses_and_once_that_it_does_not(
    check: WriteCheck, store: MemoryStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at each probe: an outage may last for hours."""
    store.unavailable = True
    for second in range(60):
        clock.now = float(second)
        assert _refused(check)
    store.unavailable = False
    for second in range(60, 120):
        clock.now = float(second)
        _refused(check)
    assert [record.getMessage() for record in caplog.records] == [
        "no video is started: The object store does not answer",
        "the object store takes writes again: videos are started",
    ]
