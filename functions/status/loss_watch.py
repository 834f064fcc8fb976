"""Suspects that a stream has lost messages, from what its leader says each time it is asked.

Whoever suspects a loss asks NATS instead of the index, until `LostMessages` has compared both.
"""

from __future__ import annotations

import time
from typing import Final

from functions.shared.streams.bus import StreamEnd
from functions.shared.timestamps import NANOSECONDS
from functions.shared.video.events import EventName

# A deletion removes the older events of its video soon after the tombstone is stored.
REMOVALS_OF_DELETION: Final = len(EventName)
DELETION_SECONDS: Final = 60.0


class LossWatch:
    """Notices interruptions, and messages that have gone without a reason. For one stream.

    Attributes:
        suspicions: how many there were.
    """

    def __init__(self, *, kept_seconds: float) -> None:
        """Messages younger than `kept_seconds` do not expire."""
        self._kept = int(kept_seconds * NANOSECONDS)
        self.reset()

    def reset(self) -> None:
        """The stream is read again from its start."""
        self._messages = 0
        self._oldest: int | None = None
        self._looked_at: float | None = None
        self._removable = 0
        self._deleted_at = 0.0
        self.suspicions = 0
        self._dismissed = 0

    @property
    def suspected(self) -> bool:
        """Whether there is a suspicion that was not dismissed."""
        return self.suspicions > self._dismissed

    def dismiss(self, suspicions: int) -> None:
        """A comparison that began when there were so many `suspicions` has found nothing."""
        self._dismissed = suspicions

    def deletion_seen(self) -> None:
        """A video was deleted, so some of its messages will go."""
        # Those of the replay are over.
        if self._looked_at is not None:
            self._removable += REMOVALS_OF_DELETION
            self._deleted_at = time.monotonic()

    def look(self, end: StreamEnd, connected_for: float) -> None:
        """Compare an answer of the leader with the one before; one call at a time.

        Args:
            end: the answer.
            connected_for: the age of the connection, in seconds.
        """
        now = time.monotonic()
        if now - self._deleted_at > DELETION_SECONDS:
            self._removable = 0
        gone = max(0, self._messages - end.messages)
        expiring = self._oldest is not None and self._oldest < end.time - self._kept
        # What a server has lost is missing when it is back.
        interrupted = self._looked_at is not None and connected_for < now - self._looked_at
        if interrupted or (gone > self._removable and not expiring):
            self.suspicions += 1
        self._removable -= min(gone, self._removable)
        self._messages, self._oldest, self._looked_at = end.messages, end.oldest, now
