"""One call for all threads that want its result at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from functions.status.shared_call import SharedCall
from tests.patience import scaled, wait_until


class _Counter:
    """A call that counts, and waits until it may end."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = threading.Semaphore(0)

    def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        assert self.may_end.acquire(timeout=scaled(20))
        return number


def test_whoever_asks_during_a_call_shares_the_next_one() -> None:
    """The call that runs may have been answered before they asked."""
    call = _Counter()
    shared = SharedCall(call)
    with ThreadPoolExecutor(21) as pool:
        first = pool.submit(shared.result)
        wait_until(lambda: call.begun == 1, seconds=10, what="the first call has begun")
        later = [pool.submit(shared.result) for _ in range(20)]
        wait_until(
            lambda: all(future.running() for future in later), seconds=10, what="all have asked"
        )
        for _ in range(21):
            call.may_end.release()
        assert first.result(scaled(20)) == 1
        results = [future.result(scaled(20)) for future in later]
    assert min(results) >= 2, "nobody gets the result of a call that began before"
    assert call.begun < 21, "they share calls"


def test_an_error_reaches_everyone_who_shares_the_call_and_no_one_else() -> None:
    """The next call is tried afresh."""
    outcomes = iter([ValueError("no"), None])

    def call() -> int:
        problem = next(outcomes)
        if problem is not None:
            raise problem
        return 1

    shared = SharedCall(call)
    with pytest.raises(ValueError, match="no"):
        shared.result()
    assert shared.result() == 1
