"""Telling in which second JetStream stored a message, mostly without asking it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Final

from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Bus
from functions.shared.timestamps import NANOSECONDS

# How long one comparison of the clocks is good for; they drift by less than a millisecond in it.
COMPARED_SECONDS: Final = 5.0
# What the clocks of a cluster's servers may differ by: NTP keeps them much closer.
TOLERANCE: Final = NANOSECONDS // 50


@dataclass(frozen=True)
class _Comparison:
    """JetStream said `now`, in nanoseconds, between two readings of the local clock in seconds."""

    now: int
    asked: float
    answered: float


class StreamClock:
    """Compares JetStream's clock with this process's. Safe to use from any thread."""

    def __init__(self, bus: Bus) -> None:
        """Ask `bus` for the time when it is needed first, and then every few seconds."""
        self._bus = bus
        self._comparison: _Comparison | None = None

    def second(self, sent: float, answered: float) -> int | None:
        """The second, since the epoch, in which JetStream stored what it confirmed.

        The API shows whole seconds, so a hundredth of them more or less rarely matters.

        Args:
            sent: when the message was sent, of `time.monotonic()`.
            answered: when the confirmation was here.

        Returns:
            None if it could be either of two seconds, or NATS can't be asked.
        """
        compared = self._compare()
        if compared is None:
            return None
        earliest = compared.now + _nanoseconds(sent - compared.answered) - TOLERANCE
        latest = compared.now + _nanoseconds(answered - compared.asked) + TOLERANCE
        second = earliest // NANOSECONDS
        return second if latest // NANOSECONDS == second else None

    def _compare(self) -> _Comparison | None:
        last = self._comparison
        asked = time.monotonic()
        if last is None or asked - last.asked > COMPARED_SECONDS:
            with contextlib.suppress(Unavailable):
                last = _Comparison(self._bus.now(), asked, time.monotonic())
                self._comparison = last
        return last


def _nanoseconds(seconds: float) -> int:
    return int(seconds * NANOSECONDS)
