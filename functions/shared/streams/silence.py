"""Whether NATS has stopped answering, so that not every caller waits to find that out."""

from __future__ import annotations

import threading
import time
from typing import Final

# While NATS is silent, one request in so many seconds finds out whether it still is.
TRY_SECONDS: Final = 1.0


class Silence:
    """What the requests of one connection learn from each other. Safe to use from any thread."""

    def __init__(self) -> None:
        """NATS is believed to answer."""
        self._lock = threading.Lock()
        self._silent = False
        self._answered_at = 0.0
        self._tried_at = 0.0

    def begin(self) -> float | None:
        """The current time if a request should be sent; None if NATS would not answer it."""
        now = time.monotonic()
        with self._lock:
            if self._silent and now - self._tried_at < TRY_SECONDS:
                return None
            self._tried_at = now
        return now

    def answered(self) -> None:
        """NATS has answered a request."""
        self._answered_at = time.monotonic()
        self._silent = False

    def unanswered(self, sent: float) -> None:
        """NATS has not answered the request that `begin` let pass at `sent`.

        If it has answered others since then, only a part of it is away, such as a stream without a
        leader.
        """
        with self._lock:
            self._silent = self._silent or self._answered_at < sent
