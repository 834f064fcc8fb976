"""Whose video is next: one function, which decides and forecasts.

Each account has a *virtual time*: the seconds for which its videos have held a replica, and are
expected to hold one, divided by its weight. The account with the least is next. This is start-time
fair queueing (Goyal, Vin and Cheng, 1996): an account that comes back starts at the virtual time of
whoever was next last, so that pausing neither saves credit nor loses debt. Within an account,
videos are ordered by priority, then by age.

An account without anything that waits, or with all the videos running that it may have, is away.
`docs/decisions/turns-by-virtual-time.md` says why.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from functions.shared.subjects import VideoKey

Priority = Literal["high", "normal", "low"]
# What had a turn already, and lost its worker or its turn, comes before anything new.
RETURNED: Final = 0
RANKS: Final[dict[Priority, int]] = {"high": 1, "normal": 2, "low": 3}
# Before any video was completed, all cost the same; the number itself decides nothing.
UNKNOWN_SECONDS: Final = 60.0


class Waiting(NamedTuple):
    """A request that waits. Those of an account compare in the order of their turns.

    Attributes:
        rank: one of `RANKS`, or `RETURNED`.
        seq: the request's sequence in REQUESTS.
        key: which video.
    """

    rank: int
    seq: int
    key: VideoKey


@dataclass(frozen=True)
class Limits:
    """An account's part.

    Attributes:
        weight: its share of the replicas, relative to others'.
        max_running: how many of its videos may be made at a time; None: as many as there are.
    """

    weight: float = 1.0
    max_running: int | None = None


@dataclass(slots=True)
class Account:
    """An account with videos that wait or have a turn.

    Attributes:
        waiting: what waits, in order.
        time: its virtual time, without what its turns are expected to take.
        charged: what those are expected to take, in seconds.
        running: how many videos have a turn.
        limits: its part.
    """

    waiting: list[Waiting] = field(default_factory=list)
    time: float = 0.0
    charged: float = 0.0
    running: int = 0
    limits: Limits = field(default_factory=Limits)

    @property
    def tag(self) -> float:
        """The virtual time by which it is compared."""
        return self.time + self.charged / self.limits.weight

    @property
    def at_limit(self) -> bool:
        """It has all the videos running that it may have."""
        return _reached(self.limits, self.running)

    @property
    def away(self) -> bool:
        """It asks for no turn."""
        return not self.waiting or self.at_limit

    def catch_up(self, clock: float) -> None:
        """It comes back when the virtual time is `clock`."""
        self.time += max(0.0, clock - self.tag)

    def insert(self, request: Waiting) -> None:
        """Let a request wait."""
        bisect.insort(self.waiting, request)

    def take_out(self, request: Waiting) -> None:
        """A request waits no longer."""
        del self.waiting[bisect.bisect_left(self.waiting, request)]


class Slot(NamedTuple):
    """A replica: when it is free, in seconds, and the account whose video it makes until then."""

    free_at: float
    account: str | None = None


class Start(NamedTuple):
    """A video that starts next, and when, in seconds."""

    request: Waiting
    at: float


def starts(
    accounts: Mapping[str, Account],
    slots: Iterable[Slot],
    *,
    seconds: Callable[[VideoKey], float],
    clock: float,
    handover: float = 0.0,
) -> Iterator[Start]:
    """The order in which videos start, if each takes as long as expected and no other comes.

    `dispatch` takes the first, for a slot that is free; `status` forecasts with all of them. Pure:
    changes none of its arguments.

    Args:
        accounts: all accounts, by name.
        slots: all replicas.
        seconds: how long a video is expected to hold a replica; 0 for one that holds none.
        clock: the virtual time of the account that was next last.
        handover: seconds between one video of a replica and the next.
    """
    order = _Order(accounts, seconds, clock)
    ends = [(slot.free_at, number, slot.account) for number, slot in enumerate(slots)]
    heapq.heapify(ends)
    free, number = 0, len(ends)
    while ends:
        at, _, ended = heapq.heappop(ends)
        free += 1
        order.end(ended)
        while free and (chosen := order.choose()) is not None:
            name, request = chosen
            yield Start(request, at)
            free, number = free - 1, number + 1
            took = seconds(request.key)
            end = at + handover + took if took else at
            heapq.heappush(ends, (end, number, name))


class _Order:
    """Chooses one after the other, on a copy of what changes."""

    def __init__(
        self, accounts: Mapping[str, Account], seconds: Callable[[VideoKey], float], clock: float
    ) -> None:
        self._accounts = accounts
        self._seconds = seconds
        self._clock = clock
        # How many of its videos were chosen so far, and how many have a turn.
        self._chosen: dict[str, int] = {}
        self._running: dict[str, int] = {}
        # Those that wait for one of their own videos to end, with their virtual time.
        self._at_limit = {
            name: account.tag
            for name, account in accounts.items()
            if account.waiting and account.at_limit
        }
        self._ready = [
            (account.waiting[0].rank > RETURNED, account.tag, account.waiting[0], name)
            for name, account in accounts.items()
            if not account.away
        ]
        heapq.heapify(self._ready)

    def choose(self) -> tuple[str, Waiting] | None:
        """The account with the least virtual time, and its first request; None if none is ready."""
        if not self._ready:
            return None
        _, tag, request, name = heapq.heappop(self._ready)
        account = self._accounts[name]
        self._clock = max(self._clock, tag)
        self._chosen[name] = self._chosen.get(name, 0) + 1
        self._running[name] = self._running.get(name, account.running) + 1
        if self._chosen[name] < len(account.waiting):
            tag += self._seconds(request.key) / account.limits.weight
            if _reached(account.limits, self._running[name]):
                self._at_limit[name] = tag
            else:
                self._add(name, tag)
        return name, request

    def end(self, name: str | None) -> None:
        """A video of an account ends; None: of none."""
        if name is None or name not in self._accounts:
            return
        account = self._accounts[name]
        self._running[name] = self._running.get(name, account.running) - 1
        if name in self._at_limit and not _reached(account.limits, self._running[name]):
            self._add(name, max(self._at_limit.pop(name), self._clock))

    def _add(self, name: str, tag: float) -> None:
        request = self._accounts[name].waiting[self._chosen.get(name, 0)]
        heapq.heappush(self._ready, (request.rank > RETURNED, tag, request, name))


def _reached(limits: Limits, running: int) -> bool:
    return limits.max_running is not None and running >= limits.max_running
