"""Whether the queue has room for more requests: of anybody's, and of one account."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from functions.shared.errors import InvalidEvent, QueueFull
from functions.shared.streams.bus import Bus

# Counted anew at most so often. Between two counts a process adds what it took itself, so that
# the limits are only as soft as there are other processes of `submit`.
COUNT_SECONDS: Final = 0.25


class _Counted:
    """A number that is asked for now and then, and counted on in between."""

    def __init__(self, ask: Callable[[], int]) -> None:
        self._ask = ask
        self._asked_at = -COUNT_SECONDS
        self._number = 0

    def now(self) -> int:
        begun = time.monotonic()
        if begun - self._asked_at > COUNT_SECONDS:
            self._number = self._ask()
            self._asked_at = begun
        return self._number

    def add(self, number: int) -> None:
        self._number += number


class Room:
    """The limits of the queue. Safe to use from any thread, where they are soft by a few requests.

    A place that is taken is forgotten at the next count, if its request is not stored by then.
    """

    def __init__(self, bus: Bus, *, limit: int, account_limit: int | None) -> None:
        """Allow `limit` requests, and of each account `account_limit` that wait."""
        self._bus = bus
        self._limit = limit
        self._account_limit = account_limit
        self._all = _Counted(bus.backlog)
        self._of_account: dict[str, _Counted] = {}

    def take(self, account: str, places: int = 1) -> None:
        """Return if so many more requests of `account` may be published: all of them, or none.

        Raises:
            QueueFull: too many wait already, of everybody's or of this account.
            InvalidEvent: so many never fit.
            Unavailable: NATS can't be asked.
        """
        fitting = min(self._limit, self._account_limit or self._limit)
        if places > fitting:
            raise InvalidEvent(
                f"The batch asks for {places} videos, and at most {fitting} may wait at a time. "
                "Send smaller batches."
            )
        everybody = self._all.now()
        if everybody + places > self._limit:
            raise QueueFull(f"{everybody} videos are waiting already. Try again later.")
        if self._account_limit is not None:
            own = self._of_account.setdefault(
                account, _Counted(lambda: self._bus.undelivered(account))
            )
            number = own.now()
            if number + places > self._account_limit:
                raise QueueFull(
                    f"{number} of your videos are waiting already. Try again when some of them "
                    "have started.",
                    code="account_queue_full",
                )
            own.add(places)
        self._all.add(places)
