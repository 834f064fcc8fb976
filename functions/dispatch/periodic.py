"""Work that `dispatch` repeats in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from functions.shared.backoff import PAUSE_FACTOR
from functions.shared.errors import KinoraError

log = logging.getLogger(__name__)


class Periodic:
    """Repeats `work` on a thread of its own. What it raises is logged; the next run continues."""

    def __init__(self, name: str, work: Callable[[], None], *, seconds: float) -> None:
        """Run `work` every `seconds`, or less often if it takes long."""
        self._name = name
        self._work = work
        self._seconds = seconds
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start the thread; the first run comes after the first pause."""
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """Start no more runs."""
        self._stopping.set()

    def _run(self) -> None:
        took = 0.0
        while not self._stopping.wait(max(self._seconds, PAUSE_FACTOR * took)):
            begun = time.monotonic()
            try:
                self._work()
            except KinoraError as problem:
                log.warning(
                    "the %s was interrupted and will be repeated: %s", self._name, problem.message
                )
            except Exception:
                log.exception("the %s was interrupted and will be repeated", self._name)
            took = time.monotonic() - begun
