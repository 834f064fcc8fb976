"""Who waits, who runs, and when each will be done. Not thread-safe.

`dispatch` takes requests in the order of the stream. It gives back what no worker had room for,
and takes that again first, so nobody loses a place by it; a request that was published again
stands at the end. So the order of the sequences is the order of the starts, up to as many places
as there are slots.
"""

from __future__ import annotations

import bisect
import heapq
import statistics
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from functions.shared.streams.bus import Message
from functions.shared.streams.ledger import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import NANOSECONDS, parse_rfc3339
from functions.shared.video.events import RUNNING, Completed, Progressed, Started, VideoData
from functions.shared.video.progress import SHARES, Stage
from functions.shared.video.requests import ResolvedRequest
from functions.status.costs import Costs, Work, remaining

# The whole queue is scheduled anew at most so often, and never for more than a tenth of the time.
REFRESH_SECONDS: Final = 0.25
REST: Final = 10
# Without news of anyone, the schedule stands for so long.
STANDS_SECONDS: Final = 5.0
# A replica that is not needed lives on for so long (scale-down-delay in the manifests).
SEEN_SECONDS: Final = 600
# Longer than any pause of `dispatch`: who waits for so long beside a free slot waits in vain.
IN_VAIN_SECONDS: Final = 30
# Three times the usual lease: the worker is lost, and another one begins from nothing.
LOST_SECONDS: Final = 60
# Hand-overs that are remembered.
HANDOVERS: Final = 50


@dataclass(frozen=True)
class _Waiting:
    key: VideoKey
    seq: int
    created: int
    work: Work | None


@dataclass(frozen=True)
class _Running:
    """A video at a worker. Times in JetStream's nanoseconds; `begun` is its attempt's, if known."""

    work: Work
    attempt: int
    begun: int | None
    heard: int
    stage: Stage
    progress: int
    given_back: bool


class Schedule:
    """The queue of all accounts, and what it can be expected to do."""

    def __init__(self, *, min_replicas: int, max_in_flight: int) -> None:
        """Count on `min_replicas` workers, and on as many more as are seen, to `max_in_flight`."""
        self._min_replicas = min(min_replicas, max_in_flight)
        self._max_in_flight = max_in_flight
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._costs = Costs()
        self._handovers: deque[float] = deque(maxlen=HANDOVERS)
        self._waiting: dict[VideoKey, _Waiting] = {}
        self._order: list[int] = []
        self._by_seq: dict[int, _Waiting] = {}
        self._running: dict[VideoKey, _Running] = {}
        self._seen: dict[str, int] = {}
        self._last_end = 0
        self._slots: list[float] = []
        self._done: dict[VideoKey, float] = {}
        self._made_at, self._took, self._changed = -STANDS_SECONDS, 0.0, True

    def wait(self, key: VideoKey, message: Message, request: ResolvedRequest | None) -> None:
        """A request waits; None for one that is not valid, and will be failed in no time."""
        old = self._waiting.get(key)
        if old is None or message.seq > old.seq:
            self.leave(key)
            work = Work.of(request) if request else None
            waiting = _Waiting(key, message.seq, message.time, work)
            self._waiting[key] = self._by_seq[message.seq] = waiting
            bisect.insort(self._order, message.seq)

    def leave(self, key: VideoKey) -> None:
        """The video neither waits nor runs any more, or never did."""
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            del self._by_seq[waiting.seq]
            del self._order[bisect.bisect_left(self._order, waiting.seq)]
            self._changed = True
        if self._running.pop(key, None) is not None:
            self._changed = True
        self._done.pop(key, None)

    def follow(self, key: VideoKey, snapshot: Snapshot) -> None:
        """Something was said about a video."""
        before, done = self._running.get(key), self._done.get(key)
        self.leave(key)
        data = snapshot.data
        if not isinstance(data, VideoData) or data.request is None:
            return
        if snapshot.name in RUNNING and isinstance(data, Started):
            self._running[key] = _running(snapshot, data, Work.of(data.request), before)
            self._changed = True
            # What was expected before stands until all is scheduled anew.
            if done is not None:
                self._done[key] = done
        if data.worker is not None:
            self._hear_of(data.worker, snapshot, data)

    def _hear_of(self, worker: str, snapshot: Snapshot, data: VideoData) -> None:
        started = parse_rfc3339(data.started_at) if data.started_at else None
        created = parse_rfc3339(data.created_at)
        last = self._seen.get(worker, 0)
        if snapshot.terminal:
            if isinstance(data, Completed) and data.request is not None:
                once = started is not None and data.attempt == 1
                whole = (snapshot.time - (started or 0)) / NANOSECONDS if once else None
                self._costs.learn(Work.of(data.request), data.timings, whole)
                # It waited while this worker was busy with the one before.
                if once and started is not None and created < last < started:
                    self._handovers.append((started - last) / NANOSECONDS)
            self._last_end = max(self._last_end, snapshot.time)
            self._seen[worker] = max(last, snapshot.time)

    def position(self, key: VideoKey) -> int | None:
        """1 for the video that starts next, and so on; None if it does not wait."""
        waiting = self._waiting.get(key)
        return None if waiting is None else bisect.bisect_left(self._order, waiting.seq) + 1

    def eta(self, key: VideoKey, now: int) -> float | None:
        """Seconds until the video is expected to be completed, at JetStream's time `now`.

        None if it has ended, or if too little is known. Never negative.
        """
        if key not in self._waiting and key not in self._running:
            return None
        self._refresh(now)
        if key not in self._done and key in self._waiting and self._slots:
            self._append(self._waiting[key], now / NANOSECONDS)
        done = self._done.get(key)
        return None if done is None else round(max(0.0, done - now / NANOSECONDS), 1)

    def _refresh(self, now: int) -> None:
        age = time.monotonic() - self._made_at
        if age > max(REFRESH_SECONDS if self._changed else STANDS_SECONDS, REST * self._took):
            begun = time.monotonic()
            self._make(now / NANOSECONDS)
            self._made_at, self._changed = time.monotonic(), False
            self._took = self._made_at - begun

    def _make(self, now: float) -> None:
        """Schedule everything, in seconds of JetStream's time."""
        self._done, self._slots = {}, []
        for key, running in self._running.items():
            left = self._left(running, now)
            if left is not None:
                self._done[key] = now + left
            self._slots.append(now + (left or 0.0))
        self._slots += [now] * self._free(now)
        heapq.heapify(self._slots)
        if self._slots:
            for seq in self._order:
                self._append(self._by_seq[seq], now)

    def _append(self, waiting: _Waiting, now: float) -> None:
        if waiting.work is None:
            return
        expected = self._costs.expected(waiting.work)
        if expected is not None:
            handover = statistics.median(self._handovers) if self._handovers else 0.0
            done = max(now, self._slots[0]) + handover + sum(expected.values())
            heapq.heapreplace(self._slots, done)
            self._done[waiting.key] = done

    def _left(self, running: _Running, now: float) -> float | None:
        expected = self._costs.expected(running.work)
        silent = now - running.heard / NANOSECONDS
        if running.given_back or silent > LOST_SECONDS:
            return sum(expected.values()) if expected else None
        elapsed = None
        if running.begun is not None:
            elapsed = (running.heard - running.begun) / NANOSECONDS
        left = remaining(expected, running.stage, running.progress, elapsed)
        return None if left is None else max(0.0, left - silent)

    def _free(self, now: float) -> int:
        """Slots that take the next request at once."""
        since = (now - SEEN_SECONDS) * NANOSECONDS
        self._seen = {worker: heard for worker, heard in self._seen.items() if heard > since}
        slots = min(self._max_in_flight, max(self._min_replicas, len(self._seen)))
        free = max(0, slots - len(self._running))
        if self._order and free:
            waits_since = max(self._by_seq[self._order[0]].created, self._last_end) / NANOSECONDS
            if now - waits_since > IN_VAIN_SECONDS:
                return 0
        return free


def _running(snapshot: Snapshot, data: Started, work: Work, before: _Running | None) -> _Running:
    begun = None
    if not isinstance(data, Progressed):
        begun = snapshot.time
    elif before is not None and before.attempt == data.attempt:
        begun = before.begun
    elif data.attempt == 1 and data.started_at is not None:
        begun = parse_rfc3339(data.started_at)
    running = _Running(
        work, data.attempt, begun, snapshot.time, Stage.ENCODING, 0, data.lease.seconds == 0
    )
    if isinstance(data, Progressed) and data.stage in SHARES:
        return replace(running, stage=Stage(data.stage), progress=data.progress)
    return running
