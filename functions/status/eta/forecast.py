"""Places in the queue, and when each video is expected to be completed. Not thread-safe.

The whole queue is simulated at once: each slot becomes free when its video is expected to end, and
then takes the video whose turn is next, by the function that `dispatch` decides with.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from functions.shared.backoff import PAUSE_FACTOR
from functions.shared.streams.bus import Message
from functions.shared.streams.queue_state import QueueState
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import NANOSECONDS, parse_rfc3339
from functions.shared.video.costs import CostModel, Work
from functions.shared.video.events import RUNNING, Completed, Started, VideoData
from functions.shared.video.fair_queue import FairQueue
from functions.shared.video.fairness import RANKS, UNKNOWN_SECONDS, Limits, Slot, Waiting
from functions.shared.video.requests import ResolvedRequest
from functions.status.eta.fleet import Fleet
from functions.status.eta.running import RunningVideo

# Refresh interval of the simulation while no video changes. After a change it is refreshed with the
# next read, but for a pause of many times what it takes.
IDLE_REFRESH_SECONDS: Final = 5.0


@dataclass(frozen=True)
class QueueLoad:
    """The queue at one moment.

    Attributes:
        waiting: how many videos of each account wait.
        running: how many are made.
        oldest: when the oldest request that waits was stored, in JetStream's nanoseconds; None if
            none waits.
        shares: the part of the replicas that each account is to get, by its weight; their sum is 1.
        ahead: the virtual time of each account, relative to that of who was next last.
    """

    waiting: Counter[str]
    running: Counter[str]
    oldest: int | None
    shares: dict[str, float]
    ahead: dict[str, float]


class Place(NamedTuple):
    """Where a video is in the queue.

    Attributes:
        position: 1 for the video that starts next, and so on.
        own_position: the same among the videos of its account.
        accounts: how many accounts have videos that wait or are made.
    """

    position: int
    own_position: int
    accounts: int


class QueuedRequest(NamedTuple):
    """A request that waits.

    Attributes:
        seq: its sequence in REQUESTS.
        created: JetStream's timestamp, in nanoseconds.
        work: what determines its cost; None for an invalid request, which `dispatch` fails at
            once.
    """

    seq: int
    created: int
    work: Work | None


class QueueForecast:
    """The queue of all accounts and the running videos, with their expected completion."""

    def __init__(
        self,
        *,
        min_replicas: int,
        max_in_flight: int,
        limits: Callable[[str], Limits] = lambda _: Limits(),
    ) -> None:
        """Expect `min_replicas` workers, and up to `max_in_flight` once they have been seen.

        `limits` are those of an account.
        """
        self._fleet = Fleet(min_replicas=min_replicas, max_in_flight=max_in_flight)
        self._limits = limits
        self.clear()

    def clear(self) -> None:
        """Forget all videos, workers and costs."""
        self._costs = CostModel()
        self._fleet.clear()
        self._queue = FairQueue(self._seconds, self._limits)
        self._waiting: dict[VideoKey, QueuedRequest] = {}
        self._running: dict[VideoKey, RunningVideo] = {}
        # What was simulated; completions in seconds of JetStream's time.
        self._places: dict[VideoKey, Place] = {}
        self._completions: dict[VideoKey, float] = {}
        self._now = 0.0
        self._simulated_at, self._took, self._changed = -IDLE_REFRESH_SECONDS, 0.0, True

    def add_request(self, key: VideoKey, message: Message, request: ResolvedRequest | None) -> None:
        """Queue the request in `message`; `request` is None if it is invalid."""
        queued = self._waiting.get(key)
        if queued is None or message.seq > queued.seq:
            self.remove(key)
            work = Work.of(request) if request else None
            self._waiting[key] = QueuedRequest(message.seq, message.time, work)
            rank = RANKS[request.priority if request else "normal"]
            self._queue.add(Waiting(rank, message.seq, key))
            self._changed = True

    def apply_state(self, state: QueueState) -> None:
        """Take over the virtual times that `dispatch` has written down."""
        self._queue.set_times(state.clock, state.times)
        self._changed = True

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
            clock = self._queue.clock
            self._queue.give_turn(key)
            # It is what `dispatch` has written down, whatever order the events are read in.
            self._queue.clock = clock
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
        was_queued = self._waiting.pop(key, None) is not None
        was_running = self._running.pop(key, None) is not None
        if was_queued or was_running:
            self._queue.end(key, 0.0)
            self._changed = True
        self._completions.pop(key, None)
        self._places.pop(key, None)

    def load(self) -> QueueLoad:
        """How many videos wait and are made, and the accounts' parts."""
        self._queue.refresh()
        accounts = self._queue.accounts
        weights = {name: account.limits.weight for name, account in accounts.items()}
        return QueueLoad(
            Counter(key.account for key in self._waiting),
            Counter(key.account for key in self._running),
            min((request.created for request in self._waiting.values()), default=None),
            {name: weight / sum(weights.values()) for name, weight in weights.items()},
            {name: account.tag - self._queue.clock for name, account in accounts.items()},
        )

    def place(self, key: VideoKey) -> Place | None:
        """Where a video is in the queue; None if it does not wait."""
        if key not in self._waiting:
            return None
        self._refresh(self._now)
        account = self._queue.accounts[key.account]
        last = Place(len(self._waiting), len(account.waiting), len(self._queue.accounts))
        return self._places.get(key, last)

    def queue_position(self, key: VideoKey) -> int | None:
        """1 for the video that starts next, and so on; None if it does not wait."""
        place = self.place(key)
        return None if place is None else place.position

    def eta_seconds(self, key: VideoKey, now: int) -> float | None:
        """Seconds until the video is expected to be completed, at JetStream's time `now`.

        Returns:
            Never negative; None if the video has ended, or if too little is known.
        """
        if key not in self._waiting and key not in self._running:
            return None
        seconds = now / NANOSECONDS
        self._refresh(seconds)
        completion = self._completions.get(key)
        return None if completion is None else round(max(0.0, completion - seconds), 1)

    def _refresh(self, now: float) -> None:
        self._now = max(self._now, now)
        age = time.monotonic() - self._simulated_at
        interval = 0.0 if self._changed else IDLE_REFRESH_SECONDS
        if age > max(interval, PAUSE_FACTOR * self._took):
            begun = time.monotonic()
            self._simulate(self._now)
            self._simulated_at, self._changed = time.monotonic(), False
            self._took = self._simulated_at - begun

    def _simulate(self, now: float) -> None:
        self._completions, self._places = {}, {}
        slots = self._slots(now)
        handover = self._fleet.handover_seconds
        own: Counter[str] = Counter()
        accounts = len(self._queue.accounts)
        self._queue.refresh()
        # Without a replica that takes videos, there is still an order.
        starts = self._queue.starts(slots or [Slot(now)], handover=handover)
        for position, (request, at) in enumerate(starts, 1):
            own[request.key.account] += 1
            self._places[request.key] = Place(position, own[request.key.account], accounts)
            expected = self._expected(request.key) if slots else None
            if expected is not None:
                self._completions[request.key] = at + handover + expected

    def _slots(self, now: float) -> list[Slot]:
        slots = []
        for key, running in self._running.items():
            remaining = running.remaining(self._costs, now)
            if remaining is not None:
                self._completions[key] = now + remaining
            slots.append(Slot(now + (remaining or 0.0), key.account))
        oldest = min((request.created for request in self._waiting.values()), default=None)
        free = self._fleet.free_slots(len(self._running), oldest, now)
        return slots + [Slot(now)] * free

    def _expected(self, key: VideoKey) -> float | None:
        work = self._waiting[key].work if key in self._waiting else None
        expected = None if work is None else self._costs.expected_seconds(work)
        return None if expected is None else sum(expected.values())

    def _seconds(self, key: VideoKey) -> float:
        """See `FairQueue`. An invalid request takes no time."""
        known = self._waiting.get(key) or self._running.get(key)
        if known is None or known.work is None:
            return 0.0
        expected = self._costs.expected_seconds(known.work)
        return UNKNOWN_SECONDS if expected is None else sum(expected.values())
