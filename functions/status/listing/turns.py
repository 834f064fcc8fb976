"""An account searches one at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

from functions.shared.errors import Unavailable

# How long a search waits for earlier ones of the same account: eight times the longest query that
# `time_limit` allows.
MAX_WAIT_SECONDS: Final = 2.0


class Turns:
    """The searches of an account take turns, so that nobody takes all cores. Safe in any thread."""

    def __init__(self) -> None:
        """Start without searches."""
        self._searches: dict[str, threading.Lock] = {}

    @contextlib.contextmanager
    def search(self, account: str) -> Iterator[None]:
        """Wait for the account's other searches; those of other accounts are not waited for.

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
