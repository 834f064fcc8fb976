"""Openings of event streams and downloads take turns, so that many at once don't delay others."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

# Openings of one kind that run at a time: one waits for NATS or the store while the other computes.
TURNS: Final = 2
# How long the next opening waits for those. Whoever takes longer waits for a server, and needs no
# time of Python's; each computes for a few milliseconds.
WAIT_SECONDS: Final = 0.02


class Openings:
    """Lets few requests of a kind start at a time, however many of them have a thread.

    Python runs one thread at a time, in turns: beside a hundred openings, a short read gets a
    hundredth of the processor. Safe to use from any thread.
    """

    def __init__(self, turns: int = TURNS, *, wait_seconds: float = WAIT_SECONDS) -> None:
        """Let `turns` openings run at a time, and one more every `wait_seconds`, whatever happens.

        So openings that wait for a server which does not answer delay the others little.
        """
        self._free = threading.Semaphore(turns)
        self._wait_seconds = wait_seconds
        self._next = threading.Lock()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, which ends with the block."""
        # One at a time, so that those who have waited long enough don't start all at once.
        with self._next:
            has_turn = self._free.acquire(timeout=self._wait_seconds)
        try:
            yield
        finally:
            if has_turn:
                self._free.release()
