"""Whether the object store takes writes: no video is started while it does not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from functions.shared.errors import Unavailable
from functions.shared.remembered_check import RememberedCheck
from functions.shared.storage import Store

log = logging.getLogger(__name__)

# How long a success is believed. If the store fails within it, a rendering waits at its upload.
FRESH_SECONDS: Final = 10.0
# How long a failure is believed, and so the time until a store that is back is noticed.
RETRY_SECONDS: Final = 2.0


class WriteCheck:
    """Writes a small object when asked, and remembers the outcome for some seconds.

    Logs when the outcome changes, and only then. Safe to use from any thread.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to `store`; `clock` counts seconds."""
        self._store = store
        self._remembered = RememberedCheck(
            self._write, success_seconds=FRESH_SECONDS, failure_seconds=RETRY_SECONDS, clock=clock
        )
        self._problem: str | None = None

    def check(self) -> None:
        """Return if the store takes writes.

        Raises:
            Unavailable: it does not; the message says why.
        """
        self._remembered.check()

    def _write(self) -> None:
        before, self._problem = self._problem, None
        try:
            self._store.check_writes()
        except Unavailable as problem:
            self._problem = problem.message
            if self._problem != before:
                log.warning("no video is started: %s", self._problem)
            raise Unavailable(self._problem, retry_after=5) from problem
        if before is not None:
            log.warning("the object store takes writes again: videos are started")
