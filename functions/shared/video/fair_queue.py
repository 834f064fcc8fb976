"""What waits and what has a turn, with the virtual times of all accounts. Not thread-safe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final

from functions.shared.subjects import VideoKey
from functions.shared.video.fairness import RETURNED, Account, Limits, Slot, Start, Waiting, starts


def _equal_parts(_: str) -> Limits:
    return Limits()


class FairQueue:
    """Every video that waits or has a turn, once.

    Attributes:
        clock: the virtual time of the account that was next last.
    """

    def __init__(
        self,
        seconds: Callable[[VideoKey], float],
        limits: Callable[[str], Limits] = _equal_parts,
    ) -> None:
        """Start empty.

        Args:
            seconds: how long a video is expected to hold a replica.
            limits: those of an account.
        """
        self._seconds = seconds
        self._limits = limits
        self._accounts: dict[str, Account] = {}
        self._waiting: dict[VideoKey, Waiting] = {}
        self._turns: dict[VideoKey, float] = {}
        # Of accounts that are away: only those that are ahead of the clock matter.
        self._debts: dict[str, float] = {}
        self.clock = 0.0

    @property
    def accounts(self) -> Mapping[str, Account]:
        """The accounts with videos that wait or have a turn."""
        return MappingProxyType(self._accounts)

    @property
    def times(self) -> dict[str, float]:
        """The virtual time of each account, without what its turns are expected to take."""
        owing = {name: time for name, time in self._debts.items() if time > self.clock}
        return owing | {name: account.time for name, account in self._accounts.items()}

    def set_times(self, clock: float, times: Mapping[str, float]) -> None:
        """Take over the virtual times of another queue; those that it lacks start at its clock."""
        self.clock, self._debts = clock, dict(times)
        for name, account in self._accounts.items():
            account.time = times.get(name, clock)

    def refresh(self) -> None:
        """Use the limits that the accounts have now, and what turns are expected to take now."""
        for name, account in self._accounts.items():
            account.limits, account.charged = self._limits(name), 0.0
        for key in self._turns:
            self._turns[key] = self._seconds(key)
            self._accounts[key.account].charged += self._turns[key]
        for account in self._accounts.values():
            self._lift(account)

    def __len__(self) -> int:
        """How many videos wait."""
        return len(self._waiting)

    def waits(self, key: VideoKey) -> Waiting | None:
        """What is known of a video that waits; None if it does not."""
        return self._waiting.get(key)

    def turns(self) -> AbstractSet[VideoKey]:
        """The videos that have a turn."""
        return self._turns.keys()

    def has_turn(self, key: VideoKey) -> bool:
        """Whether a video has a turn."""
        return key in self._turns

    def add(self, request: Waiting) -> None:
        """Let a video wait, which neither waits nor has a turn."""
        account = self._account(request.key.account)
        if account.away:
            account.catch_up(self.clock)
        account.insert(request)
        self._waiting[request.key] = request

    def give_turn(self, key: VideoKey) -> None:
        """A video has a turn, whether it waited or not."""
        account = self._account(key.account)
        request = self._waiting.pop(key, None)
        if request is not None and request.rank > RETURNED:
            self.clock = max(self.clock, account.tag)
        if request is not None:
            account.take_out(request)
        if key not in self._turns:
            account.running += 1
            self._turns[key] = self._seconds(key)
            account.charged += self._turns[key]

    def end_turn(self, key: VideoKey, used_seconds: float) -> None:
        """A video has no turn any more, during which it has held a replica for `used_seconds`."""
        account = self._account(key.account)
        if key in self._turns:
            account.charged -= self._turns.pop(key)
            account.running -= 1
        account.time += used_seconds / account.limits.weight
        self._lift(account)
        self._drop_if_idle(key.account)

    def end(self, key: VideoKey, used_seconds: float) -> None:
        """A video has ended, whether it waited, had a turn or neither; see `end_turn`."""
        self.remove(key)
        self.end_turn(key, used_seconds)

    def remove(self, key: VideoKey) -> None:
        """Let a video wait no longer, if it does."""
        request = self._waiting.pop(key, None)
        if request is not None:
            self._accounts[key.account].take_out(request)
            self._drop_if_idle(key.account)

    def next(self) -> Waiting | None:
        """The request whose turn is next; None if none may start."""
        first = next(self.starts((Slot(0.0),)), None)
        return None if first is None else first.request

    def starts(self, slots: Iterable[Slot], *, handover: float = 0.0) -> Iterator[Start]:
        """See `functions.shared.video.fairness.starts`."""
        return starts(
            self._accounts, slots, seconds=self._seconds, clock=self.clock, handover=handover
        )

    def _account(self, name: str) -> Account:
        account = self._accounts.get(name)
        if account is None:
            time = max(self._debts.pop(name, self.clock), self.clock)
            account = self._accounts[name] = Account(time=time, limits=self._limits(name))
        return account

    def _lift(self, account: Account) -> None:
        """An account that competes is never behind the clock.

        It was away, or was expected to use more than it did: what it gets back of that ends where
        others were placed meanwhile, who would have to wait for it otherwise.
        """
        if not account.away:
            account.catch_up(self.clock)

    def _drop_if_idle(self, name: str) -> None:
        account: Final = self._accounts[name]
        if not account.waiting and not account.running:
            del self._accounts[name]
            self._debts[name] = account.time
            if len(self._debts) > MAX_DEBTS:
                self._debts = {n: time for n, time in self._debts.items() if time > self.clock}


# Past it, those that the clock has overtaken are dropped.
MAX_DEBTS: Final = 1000
