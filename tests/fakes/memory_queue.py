"""The consumer of TURNS in memory: the part of `MemoryBus` that delivers turns."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from functions.shared.streams.bus import Delivery, Message


class MemoryQueue:
    """The order of the turns, and how each was settled. Not thread-safe.

    Turns may have been purged, so methods take the sequences of those that are still `stored`.

    Attributes:
        settled: the subjects of all settled turns, each with how: ack, nak or term.
    """

    def __init__(self) -> None:
        self.settled: list[tuple[str, str]] = []
        self._order: deque[int] = deque()

    def add(self, seq: int) -> None:
        """Append a turn."""
        self._order.append(seq)

    def take(self, stored: set[int]) -> int | None:
        """Deliver the first turn, which is in flight until it is settled; None without one."""
        seq = next((seq for seq in self._order if seq in stored), None)
        if seq is not None:
            self._order.remove(seq)
        return seq

    def settle(self, message: Message, how: str) -> None:
        """Record how a turn was settled; after a nak, append it again."""
        self.settled.append((message.subject, how))
        if how == "nak":
            self._order.append(message.seq)

    def clear(self) -> None:
        """Start over, with sequences from 1."""
        self._order.clear()


class MemorySource:
    """A `Source` of the deliveries that `take` returns."""

    def __init__(self, take: Callable[[], Delivery | None]) -> None:
        self._take = take

    def fetch(self, timeout: float) -> Delivery | None:
        """See `Source.fetch`."""
        end = time.monotonic() + timeout
        while (delivery := self._take()) is None and time.monotonic() < end:
            time.sleep(0.01)
        return delivery


@dataclass(frozen=True, eq=False)
class MemoryDelivery:
    """A `Delivery` that calls `on_settled` with its message and how it was settled."""

    on_settled: Callable[[Message, str], None]
    message: Message

    def ack(self) -> None:
        """See `Delivery.ack`."""
        self.on_settled(self.message, "ack")

    def nak(self, delay: float) -> None:  # noqa: ARG002 - redelivered at once
        """See `Delivery.nak`."""
        self.on_settled(self.message, "nak")

    def term(self, reason: str) -> None:  # noqa: ARG002 - nothing here reads advisories
        """See `Delivery.term`."""
        self.on_settled(self.message, "term")

    def in_progress(self) -> None:
        """See `Delivery.in_progress`."""
