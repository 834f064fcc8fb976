"""A check that many may ask for, and that runs seldom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from functions.shared.errors import Unavailable


class RememberedCheck:
    """Runs a check when asked, and believes its outcome for a while.

    Whoever asks while it runs gets the outcome of before, so that a check which takes seconds holds
    one thread; only the first outcome is waited for. Safe to use from any thread.
    """

    def __init__(
        self,
        check: Callable[[], None],
        *,
        success_seconds: float,
        failure_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Believe that `check` returned, or raised `Unavailable`; `clock` counts seconds."""
        self._check = check
        self._success_seconds = success_seconds
        self._failure_seconds = failure_seconds
        self._clock = clock
        # Held while the check runs.
        self._lock = threading.Lock()
        self._believed_until = float("-inf")
        # Whether there is an outcome.
        self._known = False
        self._problem: Unavailable | None = None

    def check(self) -> None:
        """Return if the check returned.

        Raises:
            Unavailable: the check raised it.
        """
        if self._lock.acquire(blocking=not self._known):
            try:
                if self._clock() >= self._believed_until:
                    self._run()
            finally:
                self._lock.release()
        problem = self._problem
        if problem is not None:
            # Not the same exception: each that is raised gets the traceback of its thread.
            raise Unavailable(problem.message, retry_after=problem.retry_after)

    def _run(self) -> None:
        found: Unavailable | None = None
        try:
            self._check()
        except Unavailable as problem:
            found = problem
        seconds = self._success_seconds if found is None else self._failure_seconds
        self._problem, self._known = found, True
        self._believed_until = self._clock() + seconds
