"""Exponential backoff: the pauses between two tries, wherever something is retried."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

# The shortest pause is half of the longest possible one: enough to separate rivals that failed
# together, and still a bound that a test can wait for.
_LEAST_JITTER: Final = 0.5


class Backoff(Iterator[float]):
    """Pauses in seconds that double from `first` to `longest`, each shortened by random jitter.

    The caller waits, because each has an event or a deadline of its own to watch.
    """

    def __init__(self, first: float, longest: float) -> None:
        """Begin with a pause of at most `first` seconds."""
        self._first = first
        self._longest = longest
        self._next = first

    def __next__(self) -> float:
        """The next pause, in seconds. There is always another one."""
        pause = self._next * random.uniform(_LEAST_JITTER, 1.0)  # noqa: S311 - not for secrets
        self._next = min(2 * self._next, self._longest)
        return pause

    def reset(self) -> None:
        """Begin with the first pause again, after a success."""
        self._next = self._first
