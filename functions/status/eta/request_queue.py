"""The requests that wait for a worker, in the order in which they start. Not thread-safe.

`dispatch` takes requests in stream order. A request that no worker had room for is returned and
redelivered first, so it keeps its position; one that is published again goes to the end. So the
order of the sequences is the order of the starts, to within as many positions as there are slots.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass

from functions.shared.subjects import VideoKey
from functions.status.eta.costs import Work


@dataclass(frozen=True)
class QueuedRequest:
    """A waiting request.

    Attributes:
        key: which video.
        seq: the request's sequence in REQUESTS.
        created: JetStream's timestamp, in nanoseconds.
        work: what determines its cost; None for an invalid request, which `dispatch` fails at
            once.
    """

    key: VideoKey
    seq: int
    created: int
    work: Work | None


class RequestQueue:
    """Waiting requests of all accounts, one per video."""

    def __init__(self) -> None:
        """Start empty."""
        self._by_key: dict[VideoKey, QueuedRequest] = {}
        self._by_seq: dict[int, QueuedRequest] = {}
        self._order: list[int] = []

    def __iter__(self) -> Iterator[QueuedRequest]:
        """The requests, the next one to start first."""
        return (self._by_seq[seq] for seq in self._order)

    def get(self, key: VideoKey) -> QueuedRequest | None:
        """The request for a video; None if none waits."""
        return self._by_key.get(key)

    def add(self, request: QueuedRequest) -> None:
        """Add the request for a video of which none waits."""
        self._by_key[request.key] = self._by_seq[request.seq] = request
        bisect.insort(self._order, request.seq)

    def remove(self, key: VideoKey) -> bool:
        """Remove the request for a video; returns whether there was one."""
        request = self._by_key.pop(key, None)
        if request is None:
            return False
        del self._by_seq[request.seq]
        del self._order[bisect.bisect_left(self._order, request.seq)]
        return True

    def position(self, key: VideoKey) -> int | None:
        """1 for the request that starts next, and so on; None if the video does not wait."""
        request = self._by_key.get(key)
        return None if request is None else bisect.bisect_left(self._order, request.seq) + 1
