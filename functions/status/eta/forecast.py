"""Queue positions, and when each video is expected to be completed. Not thread-safe.

The whole queue is simulated at once: each slot becomes free when its video is expected to end, and
then takes the next request.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from functions.shared.backoff import PAUSE_FACTOR
from functions.shared.streams.bus import Message
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import NANOSECONDS, parse_rfc3339
from functions.shared.video.events import RUNNING, Completed, Started, VideoData
from functions.shared.video.requests import ResolvedRequest
from functions.status.eta.costs import CostModel, Work
from functions.status.eta.fleet import Fleet
from functions.status.eta.request_queue import QueuedRequest, RequestQueue
from functions.status.eta.running import RunningVideo

# Refresh interval of the simulation while videos change, and while none does.
REFRESH_SECONDS: Final = 0.25
IDLE_REFRESH_SECONDS: Final = 5.0


@dataclass(frozen=True)
class QueueLoad:
    """The queue at one moment.

    Attributes:
        waiting: how many videos of each account wait.
        running: how many are made.
        oldest: when the oldest request that waits was stored, in JetStream's nanoseconds; None if
            none waits.
    """

    waiting: Counter[str]
    running: Counter[str]
    oldest: int | None


class QueueForecast:
    """The queue of all accounts and the running videos, with their expected completion."""

    def __init__(self, *, min_replicas: int, max_in_flight: int) -> None:
        """Expect `min_replicas` workers, and up to `max_in_flight` once they have been seen."""
        self._fleet = Fleet(min_replicas=min_replicas, max_in_flight=max_in_flight)
        self.clear()

    def clear(self) -> None:
        """Forget all videos, workers and costs."""
        self._costs = CostModel()
        self._fleet.clear()
        self._queue = RequestQueue()
        self._running: dict[VideoKey, RunningVideo] = {}
        # A heap of the times at which slots become free, and the expected completions; both in
        # seconds of JetStream's time.
        self._slots: list[float] = []
        self._completions: dict[VideoKey, float] = {}
        self._simulated_at, self._took, self._changed = -IDLE_REFRESH_SECONDS, 0.0, True

    def add_request(self, key: VideoKey, message: Message, request: ResolvedRequest | None) -> None:
        """Queue the request in `message`; `request` is None if it is invalid."""
        queued = self._queue.get(key)
        if queued is None or message.seq > queued.seq:
            self.remove(key)
            work = Work.of(request) if request else None
            self._queue.add(QueuedRequest(key, message.seq, message.time, work))

    def apply_event(self, key: VideoKey, snapshot: Snapshot) -> None:
        """Update a video from its newest event."""
        previous, completion = self._running.get(key), self._completions.get(key)
        self.remove(key)
        data = snapshot.data
        if not isinstance(data, VideoData) or data.request is None:
            return
        work = Work.of(data.request)
        if snapshot.name in RUNNING and isinstance(data, Started):
            self._running[key] = RunningVideo.from_event(snapshot, data, work, previous)
            self._changed = True
            # The last forecast holds until the next simulation.
            if completion is not None:
                self._completions[key] = completion
        if snapshot.terminal and data.worker is not None:
            if isinstance(data, Completed):
                self._learn(data.worker, work, snapshot, data)
            self._fleet.record_end(data.worker, snapshot.time)

    def _learn(self, worker: str, work: Work, snapshot: Snapshot, data: Completed) -> None:
        started = None
        # `started_at` is that of the first attempt, which must be the only one.
        if data.attempt == 1 and data.started_at is not None:
            started = parse_rfc3339(data.started_at)
            self._fleet.record_start(worker, parse_rfc3339(data.created_at), started)
        total = None if started is None else (snapshot.time - started) / NANOSECONDS
        self._costs.add_sample(work, data.timings, total)

    def remove(self, key: VideoKey) -> None:
        """Drop a video, which neither waits nor runs any more, or never did."""
        was_queued = self._queue.remove(key)
        was_running = self._running.pop(key, None) is not None
        self._changed |= was_queued or was_running
        self._completions.pop(key, None)

    def load(self) -> QueueLoad:
        """How many videos wait and are made."""
        waiting = [*self._queue]
        return QueueLoad(
            Counter(request.key.account for request in waiting),
            Counter(key.account for key in self._running),
            min((request.created for request in waiting), default=None),
        )

    def queue_position(self, key: VideoKey) -> int | None:
        """1 for the video that starts next, and so on; None if it does not wait."""
        return self._queue.position(key)

    def eta_seconds(self, key: VideoKey, now: int) -> float | None:
        """Seconds until the video is expected to be completed, at JetStream's time `now`.

        Returns:
            Never negative; None if the video has ended, or if too little is known.
        """
        queued = self._queue.get(key)
        if queued is None and key not in self._running:
            return None
        self._refresh(now)
        if key not in self._completions and queued is not None and self._slots:
            self._assign(queued, now / NANOSECONDS)
        completion = self._completions.get(key)
        return None if completion is None else round(max(0.0, completion - now / NANOSECONDS), 1)

    def _refresh(self, now: int) -> None:
        age = time.monotonic() - self._simulated_at
        interval = REFRESH_SECONDS if self._changed else IDLE_REFRESH_SECONDS
        if age > max(interval, PAUSE_FACTOR * self._took):
            begun = time.monotonic()
            self._simulate(now / NANOSECONDS)
            self._simulated_at, self._changed = time.monotonic(), False
            self._took = self._simulated_at - begun

    def _simulate(self, now: float) -> None:
        self._completions, self._slots = {}, []
        for key, running in self._running.items():
            remaining = running.remaining(self._costs, now)
            if remaining is not None:
                self._completions[key] = now + remaining
            self._slots.append(now + (remaining or 0.0))
        first = next(iter(self._queue), None)
        oldest_waiting = None if first is None else first.created
        self._slots += [now] * self._fleet.free_slots(len(self._running), oldest_waiting, now)
        heapq.heapify(self._slots)
        if self._slots:
            for request in self._queue:
                self._assign(request, now)

    def _assign(self, request: QueuedRequest, now: float) -> None:
        """Let the slot that becomes free first take `request`."""
        if request.work is None:
            return
        expected = self._costs.expected_seconds(request.work)
        if expected is not None:
            start = max(now, self._slots[0]) + self._fleet.handover_seconds
            completion = start + sum(expected.values())
            heapq.heapreplace(self._slots, completion)
            self._completions[request.key] = completion
