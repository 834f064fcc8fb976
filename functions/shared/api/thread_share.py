"""A bounded share of a function's threads, for requests that may hold one for long."""

from __future__ import annotations

import threading
from typing import Final

from functions.shared.errors import Unavailable

# By then, a request that does not wait for something broken has ended.
RETRY_AFTER_SECONDS: Final = 2


class ThreadShare:
    """Refuses at once what is beyond its share, so that other requests find a free thread.

    Without it, a store that does not answer, or callers that read slowly, would take every thread.
    Safe to use from any thread.
    """

    def __init__(self, limit: int, what: str) -> None:
        """Let `limit` requests in at a time; `what` they are, in the plural, is told to others."""
        self._limit = limit
        self._what = what
        self._lock = threading.Lock()
        self._taken = 0

    @property
    def taken(self) -> int:
        """How many requests are in."""
        return self._taken

    def enter(self) -> None:
        """Take a part of the share, until `leave` is called.

        Raises:
            Unavailable: nothing is left of it.
        """
        with self._lock:
            full = self._taken == self._limit
            self._taken += not full
        if full:
            raise Unavailable(
                f"{self._limit} {self._what} are in progress here, as many as there may be. "
                "Try again.",
                retry_after=RETRY_AFTER_SECONDS,
            )

    def leave(self) -> None:
        """Give back what `enter` took.

        Raises:
            ValueError: nothing was taken.
        """
        with self._lock:
            if not self._taken:
                raise ValueError(f"no {self._what} are in progress")
            self._taken -= 1
