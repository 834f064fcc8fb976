"""A check that many may ask for, and that runs seldom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from functions.shared.errors import Unavailable


class RememberedCheck:
    """Runs a check when asked, and believes its outcome for a while.

    Whoever asks while it runs waits for its outcome. Safe to use from any thread.
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
        self._problem: Unavailable | None = None

    def check(self) -> None:
        """Return if the check returned.

        Raises:
            Unavailable: the check raised it.
        """
        with self._lock:
            if self._clock() >= self._believed_until:
                self._run()
            problem = self._problem
        if problem is not None:
            # Not the same exception: each that is raised gets the traceback of its thread.
            raise Unavailable(problem.message, retry_after=problem.retry_after)

    def _run(self) -> None:
        self._problem = None
        try:
            self._check()
        except Unavailable as problem:
            self._problem = problem
        seconds = self._success_seconds if self._problem is None else self._failure_seconds
        self._believed_until = self._clock() + seconds
