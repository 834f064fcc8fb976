"""The consumer of requests in memory: the part of `MemoryBus` that hands them out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from functions.shared.streams.bus import Delivery, Message


class MemoryQueue:
    """The order of the requests, and what became of them. Needs its owner's lock.

    What may have been purged since is told to each method, as the numbers of what is `stored`.

    Attributes:
        settled: the subjects of all that were settled, each with how: ack, nak or term.
    """

    def __init__(self) -> None:
        self.settled: list[tuple[str, str]] = []
        self._order: deque[int] = deque()
        self._pending: set[int] = set()
        self._newest_taken = 0

    def add(self, seq: int) -> None:
        """Put a request at the end."""
        self._order.append(seq)

    def take(self, stored: set[int]) -> int | None:
        """The first one, which is under way from now on; None if none waits."""
        seq = next((seq for seq in self._order if seq in stored), None)
        if seq is not None:
            self._order.remove(seq)
            self._pending.add(seq)
            self._newest_taken = max(self._newest_taken, seq)
        return seq

    def settle(self, message: Message, word: str) -> None:
        """Take note of how a request was settled; what was given back waits again, at the end."""
        self.settled.append((message.subject, word))
        self._pending.discard(message.seq)
        if word == "nak":
            self._order.append(message.seq)

    def backlog(self, stored: set[int]) -> int:
        """How many wait or are under way."""
        return sum(seq in stored for seq in self._order) + len(self._pending)

    def never_taken(self, stored: set[int]) -> int:
        """How many of these wait for the first time."""
        return sum(seq in stored and seq > self._newest_taken for seq in self._order)

    def clear(self) -> None:
        """Begin anew, with numbers that begin anew too."""
        self._order.clear()
        self._pending.clear()
        self._newest_taken = 0


class MemorySource:
    """Hands out what `take` gives, as a `RequestSource`."""

    def __init__(self, take: Callable[[], Delivery | None]) -> None:
        self._take = take

    def fetch(self, timeout: float) -> Delivery | None:
        """See `RequestSource.fetch`."""
        end = time.monotonic() + timeout
        while (delivery := self._take()) is None and time.monotonic() < end:
            time.sleep(0.01)
        return delivery


@dataclass(frozen=True, eq=False)
class MemoryDelivery:
    """A request that was handed out; `on_settled` hears how it ends."""

    on_settled: Callable[[Message, str], None]
    message: Message

    def ack(self) -> None:
        """See `Delivery.ack`."""
        self.on_settled(self.message, "ack")

    def nak(self, delay: float) -> None:  # noqa: ARG002 - no time passes by itself here
        """See `Delivery.nak`."""
        self.on_settled(self.message, "nak")

    def term(self, reason: str) -> None:  # noqa: ARG002 - nobody reads advisories here
        """See `Delivery.term`."""
        self.on_settled(self.message, "term")

    def in_progress(self) -> None:
        """See `Delivery.in_progress`."""
