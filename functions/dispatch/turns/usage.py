"""How long a video has held a replica, as its events tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from functions.shared.timestamps import NANOSECONDS

# Past its last event, a worker is believed to work on for as long as its lease.
UNSEEN_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Usage:
    """Times in JetStream's nanoseconds.

    Attributes:
        begun: when the current attempt started.
        last: the newest event.
        earlier: seconds of the attempts before.
    """

    begun: int
    last: int
    earlier: float = 0.0

    @classmethod
    def begin(cls, time: int, before: Self | None = None) -> Self:
        """An attempt starts, after an earlier one."""
        return cls(time, time, 0.0 if before is None else before.seconds(before.last))

    def seconds(self, end: int) -> float:
        """The seconds of all attempts, once the video has ended at `end`."""
        unseen = min(max(0, end - self.last), int(UNSEEN_SECONDS * NANOSECONDS))
        return self.earlier + (self.last - self.begun + unseen) / NANOSECONDS
