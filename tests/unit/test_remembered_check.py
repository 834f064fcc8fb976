"""What is believed of a check between two runs, and what its callers wait for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from functions.shared.errors import Unavailable
from functions.shared.remembered_check import RememberedCheck
from tests.patience import scaled, wait_until

CALLERS = 50


class Checked:
    """What is checked: it counts, and may be out of order; time passes when the test says so."""

    def __init__(self) -> None:
        """In order, at the time 0."""
        self.now = 0.0
        self.runs = 0
        self.problem: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()
        self.remembered = RememberedCheck(
            self._run, success_seconds=10.0, failure_seconds=2.0, clock=lambda: self.now
        )

    def _run(self) -> None:
        self.runs += 1
        assert self.go_on.wait(scaled(30))
        if self.problem is not None:
            raise self.problem

    def outcome(self) -> tuple[str, int | None] | None:
        """Message and seconds until a retry; None for a success."""
        try:
            self.remembered.check()
        except Unavailable as problem:
            return problem.message, problem.retry_after
        return None


@pytest.fixture
def checked() -> Checked:
    """Something in order that was not checked yet."""
    return Checked()


@pytest.mark.parametrize(
    ("problem", "seconds"), [(None, 10.0), (Unavailable("full", retry_after=60), 2.0)]
)
def test_an_outcome_is_believed_for_its_time(
    checked: Checked, problem: Unavailable | None, seconds: float
) -> None:
    """A success and a failure have each their own; then the check runs again."""
    checked.problem = problem
    first = checked.outcome()
    checked.problem = None if problem else Unavailable("full", retry_after=60)
    checked.now = seconds - 0.1
    assert checked.outcome() == first
    assert checked.runs == 1
    checked.now = seconds
    assert checked.outcome() != first
    assert checked.runs == 2


@pytest.mark.parametrize("problem", [None, Unavailable("full", retry_after=60)])
def test_callers_wait_for_one_check(checked: Checked, problem: Unavailable | None) -> None:
    """Those who come while it runs for the first time get its outcome, whatever it is."""
    checked.problem = problem
    checked.go_on.clear()
    come = threading.Barrier(CALLERS + 1)

    def call() -> tuple[str, int | None] | None:
        come.wait(scaled(30))
        return checked.outcome()

    with ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(call) for _ in range(CALLERS)]
        come.wait(scaled(30))
        checked.go_on.set()
        outcomes = {one.result(scaled(30)) for one in calls}
    assert outcomes == {("full", 60) if problem else None}
    assert checked.runs == 1


def test_a_check_that_takes_long_holds_one_caller(checked: Checked) -> None:
    """While it runs again, all others get the outcome of before."""
    assert checked.outcome() is None
    checked.now, checked.problem = 10.0, Unavailable("full", retry_after=60)
    checked.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(checked.outcome)
        wait_until(lambda: checked.runs == 2, seconds=10, what="the check runs again")
        assert checked.outcome() is None
        checked.go_on.set()
        assert slow.result(scaled(30)) == ("full", 60)
    assert checked.outcome() == ("full", 60)
    assert checked.runs == 2


def test_each_caller_is_told_by_an_exception_of_its_own(checked: Checked) -> None:
    """One that is raised again and again would keep the traceback of each caller."""
    checked.problem = Unavailable("full")
    raised = []
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            checked.remembered.check()
        raised.append(caught.value)
    assert raised[0] is not raised[1]


def test_an_unexpected_error_is_not_remembered(checked: Checked) -> None:
    """It says nothing about what is checked."""
    checked.problem = RuntimeError("a bug")
    with pytest.raises(RuntimeError):
        checked.remembered.check()
    checked.problem = None
    assert checked.outcome() is None
    assert checked.runs == 2
