"""Readers of the table take turns; messages from NATS never wait for them."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from functions.shared.errors import Unavailable

log = logging.getLogger(__name__)

# How long a search waits for earlier ones of the same account: eight times the longest query that
# `time_limit` allows.
MAX_WAIT_SECONDS: Final = 2.0


class Turns:
    """Exclusive use of a table that is not thread-safe. Changes are made in the order they came.

    A change that comes during a reader's turn is made at the end of that turn, by the reader's
    thread. So the thread that receives messages goes on serving all other callers.
    """

    def __init__(self) -> None:
        """Create it with the table free and no changes pending."""
        self._lock = threading.Lock()
        self._changes: deque[Callable[[], object]] = deque()
        self._searches: dict[str, threading.Lock] = {}

    def change(self, work: Callable[[], object]) -> None:
        """Run `work` now, or at the end of the current turn. An exception is logged."""
        self._changes.append(work)
        self._make_changes()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Wait for a turn; all changes that came before are made at its start."""
        try:
            with self._lock:
                self._run_all()
                yield
        finally:
            self._make_changes()

    @contextlib.contextmanager
    def search(self, account: str) -> Iterator[None]:
        """Wait for the account's other searches, so that other accounts wait for one at most.

        Raises:
            Unavailable: they take too long.
        """
        search = self._searches.setdefault(account, threading.Lock())
        if not search.acquire(timeout=MAX_WAIT_SECONDS):
            raise Unavailable("Your other searches are still running. Try again.")
        try:
            yield
        finally:
            search.release()

    def clear(self, work: Callable[[], object]) -> None:
        """Wait for a turn, drop all changes that were not made, and run `work`."""
        with self._lock:
            self._changes.clear()
            work()
        self._make_changes()

    def _make_changes(self) -> None:
        # Whoever has the lock now does the same after releasing it, so no change is left behind.
        while self._changes and self._lock.acquire(blocking=False):
            try:
                self._run_all()
            finally:
                self._lock.release()

    def _run_all(self) -> None:
        while self._changes:
            try:
                self._changes.popleft()()
            except Exception:
                log.exception("a message failed to apply")
