"""What each account used, by the day on which its videos were completed.

A projection of VIDEOS, like the index. A video counts once, by whichever event is seen first: the
one that completed it, or the tombstone, which repeats what was used.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from functions.shared.streams.video_state import Snapshot
from functions.shared.timestamps import DAY_SECONDS, NANOSECONDS, parse_rfc3339
from functions.shared.video.events import Completed, Deleted, Usage
from functions.shared.video.usage import usage_of

_DAY: Final = DAY_SECONDS * NANOSECONDS


@dataclass(frozen=True)
class DayOfAccount:
    """What one account used on one day, in UTC.

    Attributes:
        day: days since the epoch.
        account: whose videos they were.
        videos: how many were completed, deleted ones too.
        gpu_seconds: see `Usage`.
        bytes: see `Usage`.
    """

    day: int
    account: str
    videos: int
    gpu_seconds: float
    bytes: int


class UsageByDay:
    """What all accounts used. Safe to use from any thread."""

    def __init__(self, *, max_age_days: int) -> None:
        """Know of as many days as the stream keeps, today included."""
        self._max_age_days = max_age_days
        self._lock = threading.Lock()
        # Of each day, the hashes of its videos: a tenth of their keys' memory, and of a million of
        # 64 bits, no two are likely to be the same.
        self._counted: dict[int, set[int]] = {}
        self._days: dict[tuple[int, str], DayOfAccount] = {}

    def clear(self) -> None:
        """Forget everything, before a replay."""
        with self._lock:
            self._counted.clear()
            self._days.clear()

    def apply(self, snapshot: Snapshot) -> None:
        """Count a video once; other events than its completion and its deletion count nothing."""
        used = _used(snapshot)
        if used is None:
            return
        account, video_id = snapshot.key.account, snapshot.key.video_id
        self.add(account, video_id, parse_rfc3339(used.completed_at), used.gpu_seconds, used.bytes)

    def add(
        self, account: str, video_id: str, completed_at: int, gpu_seconds: float, size: int
    ) -> None:
        """Count a video once, which was completed at JetStream's time `completed_at`.

        See `Usage` for the others.
        """
        day, video = completed_at // _DAY, hash((account, video_id))
        with self._lock:
            if any(video in counted for counted in self._counted.values()):
                return
            self._counted.setdefault(day, set()).add(video)
            before = self._days.get((day, account), DayOfAccount(day, account, 0, 0.0, 0))
            self._days[day, account] = DayOfAccount(
                day,
                account,
                before.videos + 1,
                before.gpu_seconds + gpu_seconds,
                before.bytes + size,
            )

    def read(self, account: str | None, now: int) -> list[DayOfAccount]:
        """The days of `account`, or of all accounts, as of JetStream's time `now`; oldest first.

        Of earlier days, the stream has lost a part already: they are left out.
        """
        first = now // _DAY - self._max_age_days + 1
        with self._lock:
            for old in [day for day in self._counted if day < first]:
                del self._counted[old]
            self._days = {key: one for key, one in self._days.items() if key[0] >= first}
            found = [one for one in self._days.values() if account in (None, one.account)]
        return sorted(found, key=lambda one: (one.day, one.account))


def _used(snapshot: Snapshot) -> Usage | None:
    if isinstance(snapshot.data, Completed):
        return usage_of(snapshot.data, snapshot.time)
    return snapshot.data.usage if isinstance(snapshot.data, Deleted) else None
