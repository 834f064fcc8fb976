"""Pauses: exponential backoff for everything that is retried, and those of background work."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

# Jitter takes off up to half of a pause: enough to separate rivals that failed together, and still
# a lower bound that tests can rely on.
_LEAST_JITTER: Final = 0.5
# Background work that pauses for ten times its own duration takes at most a tenth of NATS and of
# the CPU, however many videos there are.
PAUSE_FACTOR: Final = 10


class Backoff(Iterator[float]):
    """Pauses in seconds that double from `first` to `longest`, each shortened by random jitter.

    The caller does the waiting, because callers watch different events and deadlines.
    """

    def __init__(self, first: float, longest: float) -> None:
        """Start with a pause of at most `first` seconds."""
        self._first = first
        self._longest = longest
        self._next = first

    def __next__(self) -> float:
        """The next pause, in seconds; the iterator never ends."""
        pause = self._next * random.uniform(_LEAST_JITTER, 1.0)  # noqa: S311 - not for secrets
        self._next = min(2 * self._next, self._longest)
        return pause

    def reset(self) -> None:
        """Start again from the first pause, after a success."""
        self._next = self._first
