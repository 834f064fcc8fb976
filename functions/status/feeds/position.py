"""How far a client has seen both streams, as the id of an event."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

from functions.shared.api.parameters import EVENT_ID
from functions.shared.errors import InvalidRequest
from functions.shared.subjects import REQUESTS


@dataclass(frozen=True)
class FeedPosition:
    """The last sequence that was seen of each stream."""

    requests: int
    videos: int

    def __str__(self) -> str:
        return f"{self.requests}-{self.videos}"

    @classmethod
    def parse(cls, event_id: str) -> Self:
        """Read an event's id.

        Raises:
            InvalidRequest: `event_id` does not have that form.
        """
        match = re.fullmatch(EVENT_ID, event_id)
        if match is None:
            raise InvalidRequest(
                f"Last-Event-ID is {event_id[:80]!r}; send the id of an event of this feed, or "
                "leave it out",
                param="Last-Event-ID",
            )
        return cls(int(match[1]), int(match[2]))

    def seq(self, stream: str) -> int:
        """The last sequence that was seen of `stream`."""
        return self.requests if stream == REQUESTS else self.videos

    def advanced(self, stream: str, seq: int) -> Self:
        """The position once `stream` was seen up to `seq`; never an earlier one."""
        if seq <= self.seq(stream):
            return self
        return replace(self, requests=seq) if stream == REQUESTS else replace(self, videos=seq)

    def covers(self, other: FeedPosition) -> bool:
        """Whether all that was seen at `other` was seen here too."""
        return self.requests >= other.requests and self.videos >= other.videos
