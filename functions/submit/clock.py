"""The second in which JetStream stored a message, usually without asking JetStream."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Final

from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Bus
from functions.shared.timestamps import NANOSECONDS

# How long a comparison of the clocks stays valid: they drift by less than a millisecond in it.
COMPARISON_SECONDS: Final = 5.0
# How far the clocks of a cluster's servers may differ. NTP keeps them much closer.
TOLERANCE: Final = NANOSECONDS // 50


@dataclass(frozen=True)
class _Comparison:
    """JetStream's clock was at `now`, in ns, between two readings of the local clock, in s."""

    now: int
    asked: float
    answered: float


class StreamClock:
    """Compares JetStream's clock with the local one. Safe to use from any thread."""

    def __init__(self, bus: Bus) -> None:
        """Ask `bus` for the time on first use, and again every few seconds."""
        self._bus = bus
        self._comparison: _Comparison | None = None

    def second(self, sent: float, answered: float) -> int | None:
        """The second, since the epoch, in which JetStream stored a message.

        The API shows whole seconds, so an uncertainty of hundredths rarely matters.

        Args:
            sent: `time.monotonic()` before the message was published.
            answered: `time.monotonic()` after the acknowledgement arrived.

        Returns:
            None if the second is uncertain, or NATS does not answer.
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
        if last is None or asked - last.asked > COMPARISON_SECONDS:
            with contextlib.suppress(Unavailable):
                last = _Comparison(self._bus.now(), asked, time.monotonic())
                self._comparison = last
        return last


def _nanoseconds(seconds: float) -> int:
    return int(seconds * NANOSECONDS)
