"""A time limit for each phase of each test, and failures that name an overloaded machine.

pytest-timeout does not fit: by wall-clock time it fails tests for the machine's load; its
limit is either for a test's function alone, so that a fixture may hang, or it can end the process
while pytest writes a report.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import pytest
from _pytest._code.code import ExceptionRepr
from _pytest.outcomes import Failed

from tests import patience
from tests.patience import SLOW, Limit, Starved

# The longest tests take 30 s of two idle cores, and a fixture as long as its servers.
SECONDS: Final = 240.0
# In real time: twenty minutes at most.
_MOST: Final = 5.0
# For what `finally` does after the limit, before the test is interrupted once more.
_CLEANUP_SECONDS: Final = 30.0

_item_started: Final = pytest.StashKey[patience.Reading]()


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin proper, which has a state."""
    config.pluginmanager.register(TimeLimits())


class TimeLimits:
    """A plugin that interrupts a setup, call or teardown when its limit has been reached.

    The limit is `SECONDS`, or that of the marker `time_limit`. Time for reports does not count. A
    phase that does not react, because it waits in C, ends the process: pytest-xdist reports the
    test as crashed, and goes on with another process.
    """

    def __init__(self) -> None:
        self._limit: Limit | None = None
        self._item: pytest.Item | None = None
        self._phase = ""
        self._stderr = os.dup(2)  # of the process; during tests pytest captures it

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Note when it starts, and give up on a process that is stuck."""
        item.stash[_item_started] = patience.now()
        signal.signal(signal.SIGALRM, self._on_alarm)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Limit the fixtures' setup."""
        with self._limited(item, "setup"):
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Limit the test itself."""
        with self._limited(item, "call"):
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Limit the fixtures' teardown."""
        with self._limited(item, "teardown"):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Name the machine in the report of a failure, if it was overloaded."""
        report = yield
        since = item.stash[_item_started]
        if report.failed and patience.now().slowness(since) >= SLOW:
            error = call.excinfo.value if call.excinfo else None
            known = isinstance(error, Starved | TimeLimitReached)
            _blame_machine(report, patience.describe_load(since), known=known)
        return report

    @contextmanager
    def _limited(self, item: pytest.Item, phase: str) -> Iterator[None]:
        marker = item.get_closest_marker("time_limit")
        seconds = float(marker.args[0]) if marker else SECONDS
        self._item, self._phase = item, phase
        self._limit = Limit(seconds, most=_MOST)
        self._arm(seconds)
        try:
            yield
        finally:
            self._limit = None
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _arm(self, seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        # Replaces the one before. Unless the alarm is handled meanwhile, this thread is stuck in C.
        faulthandler.dump_traceback_later(
            patience.scaled(seconds + _CLEANUP_SECONDS), exit=True, file=self._stderr
        )

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        if self._limit is None or self._item is None:
            return
        if _is_debugged():
            faulthandler.cancel_dump_traceback_later()
            return
        if (left := self._limit.left) > 0:
            self._arm(max(0.1, left))
            return
        self._arm(_CLEANUP_SECONDS)
        self._item.add_report_section(self._phase, "stacks", _stacks_of_other_threads())
        raise TimeLimitReached(str(self._limit.failure(f"{self._phase} of this test")))


class TimeLimitReached(Failed):
    """The limit was reached. No `except Exception` catches it."""


def _blame_machine(report: pytest.TestReport, load: str, *, known: bool) -> None:
    text = f"{load} during this test, which may be the only reason for its failure"
    if isinstance(report.longrepr, ExceptionRepr):
        report.longrepr.addsection("overloaded machine", text)
        crash = report.longrepr.reprcrash
        if crash is not None and not known:
            crash.message = f"Starved: {load} | {crash.message}"
    else:
        report.longrepr = f"{text}\n{report.longrepr}"


def _stacks_of_other_threads() -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"{names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
        if ident != threading.get_ident()
    )


def _is_debugged() -> bool:
    """Whether a person looks at this test in a debugger."""
    module = getattr(sys.gettrace(), "__module__", None) or ""
    return module.partition(".")[0] in {"bdb", "pdb", "pydevd", "_pydevd_bundle"}
