"""The limits of the queue: of all accounts together, and of each account.

JetStream enforces one more, the size of REQUESTS (`functions/shared/streams/jetstream_api.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from functions.shared.errors import InvalidEvent, QueueFull
from functions.shared.streams.bus import Bus
from functions.shared.streams.queue_state import (
    NOTHING_KNOWN,
    QueueState,
    backlog,
    newest_queue_state,
    waiting_of,
)

# Refresh interval; in between, each process counts only its own submissions, so the limits are
# soft by what the other processes of `submit` accept meanwhile.
COUNT_SECONDS: Final = 0.25


class _CachedCount:
    """A count that is refreshed at intervals, and kept up to date in between."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._refreshed_at = -COUNT_SECONDS
        self._value = 0

    def value(self) -> int:
        now = time.monotonic()
        if now - self._refreshed_at > COUNT_SECONDS:
            self._value = self._count()
            self._refreshed_at = now
        return self._value

    def add(self, number: int) -> None:
        self._value += number


class QueueLimits:
    """Admits requests to the queue. Safe to use from any thread; threads may race by a few.

    A reservation lasts until the next refresh. By then its request should be in the stream.
    """

    def __init__(self, bus: Bus, *, limit: int, account_limit: Callable[[str], int | None]) -> None:
        """Allow `limit` requests, waiting or running.

        `account_limit` is how many of them an account may have waiting; None: all of them.
        """
        self._bus = bus
        self._limit = limit
        self._account_limit = account_limit
        self._total = _CachedCount(lambda: backlog(bus, self._state()))
        self._by_account: dict[str, _CachedCount] = {}
        # One for the counts of all accounts: reading it takes longer than counting from it.
        self._known: QueueState = NOTHING_KNOWN
        self._known_at = -COUNT_SECONDS

    def reserve(self, account: str, places: int = 1) -> None:
        """Reserve places in the queue for requests of `account`: all of them, or none.

        Raises:
            QueueFull: the queue is full, or the account's part of it is.
            InvalidEvent: `places` is above a limit, so waiting would not help.
            Unavailable: NATS did not answer.
        """
        of_account = self._account_limit(account)
        most = min(self._limit, of_account or self._limit)
        if places > most:
            raise InvalidEvent(
                f"The batch requests {places} videos, but at most {most} may be queued at a time. "
                "Send smaller batches."
            )
        total = self._total.value()
        if total + places > self._limit:
            raise QueueFull(
                f"The queue has {total} videos, and its limit is {self._limit}. Try again later."
            )
        if of_account is not None:
            self._reserve_for(account, places, of_account)
        self._total.add(places)

    def _state(self) -> QueueState:
        now = time.monotonic()
        if now - self._known_at > COUNT_SECONDS:
            self._known = newest_queue_state(self._bus)
            self._known_at = now
        return self._known

    def _reserve_for(self, account: str, places: int, limit: int) -> None:
        count = self._by_account.setdefault(
            account, _CachedCount(lambda: waiting_of(self._bus, self._state(), account))
        )
        waiting = count.value()
        if waiting + places > limit:
            raise QueueFull(
                f"{waiting} of your videos are queued, and the limit is {limit}. Try again when "
                "some of them have started.",
                code="account_queue_full",
            )
        count.add(places)
