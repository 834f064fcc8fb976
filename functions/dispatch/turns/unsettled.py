"""Every request whose video has not ended, kept in step with REQUESTS and VIDEOS.

Each process of `dispatch` has its own. They agree but for what has not reached one of them yet,
and nothing depends on that: a turn is a hint, and the stream TURNS refuses what would be too much.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from functions.dispatch.turns.costs import RequestCosts, Unsettled
from functions.dispatch.turns.usage import Usage
from functions.shared.errors import InvalidRequest, Unavailable
from functions.shared.streams.bus import Message
from functions.shared.streams.queue_state import NOTHING_KNOWN, QueueState, ranges
from functions.shared.subjects import VideoKey
from functions.shared.video.costs import MAX_SAMPLES
from functions.shared.video.events import RUNNING, TERMINAL, EventName
from functions.shared.video.fair_queue import FairQueue
from functions.shared.video.fairness import RETURNED, Limits, Waiting
from functions.shared.video.profiles import Profile

log = logging.getLogger(__name__)


class UnsettledRequests:
    """What waits, what has a turn, and whose turn is next. Safe to use from any thread."""

    def __init__(self, profile: Profile, limits: Callable[[str], Limits]) -> None:
        """Start empty; requests are read with the defaults of `profile`."""
        self._profile = profile
        self._limits = limits
        self._lock = threading.Lock()
        # Set whenever there may be another turn to give, or a state to write down.
        self.changed: Final = threading.Event()
        # How many turns have ended, as far as is known.
        self.ended_turns = 0
        self.restart(NOTHING_KNOWN)

    def restart(self, known: QueueState) -> None:
        """Forget everything, before a replay of both streams; `known` is what was written down."""
        with self._lock:
            self._known = known
            self._queue = FairQueue(self._seconds, self._limits)
            self._queue.set_times(known.clock, known.times)
            self._requests: dict[VideoKey, Unsettled] = {}
            self._usage: dict[VideoKey, Usage] = {}
            self._costs = RequestCosts(self._profile)
            # Until the replay is over: the videos that have ended, and the newest completed ones.
            self._ended: set[VideoKey] | None = set()
            self._completed: deque[Message] = deque(maxlen=MAX_SAMPLES)
            self._request_seq, self._event_seq = known.requests, known.videos
            self._request_time = known.stored
            self._begun = {seq: Usage(at, at, earlier) for seq, at, earlier in known.begun}

    def replayed(self) -> None:
        """The replay is over."""
        with self._lock:
            for message in self._completed:
                self._costs.learn(message)
            self._completed.clear()
            self._ended = None
            for key, request in self._requests.items():
                self._wait(key, request)
        self.changed.set()

    def check(self) -> None:
        """Return if everything that was stored before is known.

        Raises:
            Unavailable: not yet.
        """
        if self._ended is not None:
            raise Unavailable("The queue is still being read")

    def apply_request(self, message: Message) -> None:
        """Apply a message of REQUESTS: first what is written down, the rest after VIDEOS."""
        try:
            key = VideoKey.from_subject(message.subject)
        except InvalidRequest as problem:
            log.warning("dropped: %s", problem.message)
            return
        with self._lock:
            if message.seq >= self._request_seq:
                self._request_seq, self._request_time = message.seq, message.time
            over = self._known.is_settled(message.seq)
            if over or (self._ended is not None and key in self._ended):
                return
        request = self._costs.read(message)
        with self._lock:
            self._requests[key] = request
            if message.seq in self._begun:
                self._usage[key] = self._begun.pop(message.seq)
            if self._ended is None:
                self._wait(key, request)
        self.changed.set()

    def apply_event(self, message: Message) -> None:
        """Apply a message of VIDEOS. What it holds beyond its name matters only once completed."""
        try:
            key = VideoKey.from_subject(message.subject)
        except InvalidRequest:
            return
        name = message.subject.rpartition(".")[2]
        with self._lock:
            self._event_seq = max(self._event_seq, message.seq)
            # Replayed for what it says of costs, and of when the worker was last seen.
            considered = message.seq <= self._known.videos
            if name in TERMINAL:
                self._apply_end(key, name, message, considered=considered)
            elif name in RUNNING:
                self._apply_run(key, name, message.time, considered=considered)
        if name in TERMINAL:
            self.changed.set()

    def _apply_end(self, key: VideoKey, name: str, message: Message, *, considered: bool) -> None:
        if not considered:
            self._end(key, message.time)
        if self._ended is not None:
            self._ended.add(key)
        if name == EventName.COMPLETED and self._ended is not None:
            self._completed.append(message)
        elif name == EventName.COMPLETED:
            self._costs.learn(message)

    def _apply_run(self, key: VideoKey, name: str, time: int, *, considered: bool) -> None:
        before = self._usage.get(key)
        if before is not None and (considered or name != EventName.STARTED):
            self._usage[key] = replace(before, last=max(before.last, time))
        elif not considered:
            self._usage[key] = Usage.begin(time, before)

    def settle(self, key: VideoKey, seq: int) -> None:
        """`dispatch` has ended the turn of the request `seq`: it will not be worked on again."""
        with self._lock:
            self.ended_turns += 1
            request = self._requests.get(key)
            if request is not None and request.seq == seq:
                usage = self._usage.get(key)
                self._end(key, usage.last if usage else 0)
        self.changed.set()

    def is_settled(self, key: VideoKey, seq: int) -> bool:
        """Whether the video of the request `seq` is known to have ended."""
        with self._lock:
            known = self._ended is None and seq <= self._request_seq
            return known and key not in self._requests

    def next_turn(self, turns: Collection[VideoKey]) -> tuple[VideoKey, int] | None:
        """The video whose turn is next, and the sequence of its request; None: none.

        `turns` are those that have one now.
        """
        with self._lock:
            self._queue.refresh()
            self._follow_turns(turns)
            request = self._queue.next()
            return None if request is None else (request.key, request.seq)

    def turn_given(self, key: VideoKey) -> None:
        """A turn was stored."""
        with self._lock:
            if key in self._requests:
                self._queue.give_turn(key)

    def __len__(self) -> int:
        """How many requests have not ended."""
        return len(self._requests)

    def state(self, created: str, videos_created: str) -> QueueState:
        """What to write down, for the streams that were created then."""
        with self._lock:
            waiting = {
                name: len(account.waiting)
                for name, account in self._queue.accounts.items()
                if account.waiting
            }
            return QueueState(
                created=created,
                requests=self._request_seq,
                stored=self._request_time,
                videos_created=videos_created,
                videos=self._event_seq,
                unsettled=tuple(ranges(request.seq for request in self._requests.values())),
                begun=tuple(
                    (self._requests[key].seq, usage.begun, usage.earlier)
                    for key, usage in self._usage.items()
                    if key in self._requests
                ),
                waiting=waiting,
                clock=self._queue.clock,
                times=self._queue.times,
            )

    def _wait(self, key: VideoKey, request: Unsettled) -> None:
        if self._queue.has_turn(key):
            return
        self._queue.remove(key)
        # A worker may have it. A turn shows how it goes on, and holds the worker's place.
        rank = RETURNED if key in self._usage else request.rank
        self._queue.add(Waiting(rank, request.seq, key))

    def _follow_turns(self, turns: Collection[VideoKey]) -> None:
        for key in turns:
            if key in self._requests and not self._queue.has_turn(key):
                self._queue.give_turn(key)
        for key in self._queue.turns() - set(turns):
            self._queue.end_turn(key, 0.0)
            if key in self._requests:
                self._wait(key, self._requests[key])

    def _end(self, key: VideoKey, time: int) -> None:
        self.ended_turns += 1
        usage = self._usage.pop(key, None)
        used = 0.0 if usage is None else usage.seconds(time)
        known = self._requests.pop(key, None) is not None
        if used or known:
            self._queue.end(key, used)

    def _seconds(self, key: VideoKey) -> float:
        return self._costs.seconds(self._requests.get(key))
