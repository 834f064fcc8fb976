"""A `Bus` in memory, which passes the same tests as the real server."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

from functions.shared.errors import (
    NotStored,
    OutcomeUnknown,
    QueueFull,
    SequenceConflict,
    TooLarge,
    Unavailable,
)
from functions.shared.streams.bus import Delivery, Message, Source, StreamEnd
from functions.shared.subjects import (
    ALL_REQUESTS,
    ALL_TURNS,
    ALL_VIDEOS,
    QUEUE,
    QUEUE_SUBJECT,
    REQUESTS,
    TURNS,
    VIDEOS,
)
from functions.shared.timestamps import NANOSECONDS
from tests.fakes.memory_queue import MemoryDelivery, MemoryQueue, MemorySource
from tests.fakes.memory_streams import MemoryStreams, matches


class MemoryBus:
    """The streams in memory, with a clock and faults that a test controls.

    Attributes:
        faults: the outcome of the next publishes, one entry each: "lost" (not stored, and no
            answer), "answer lost" (stored, but no answer), "busy" (refused although there is no
            rival), "full". Later publishes succeed.
        unavailable: while true, every call fails as without a connection.
        stopped_writing: while true, the streams store nothing, as on a disk that was full.
        catches_up: while false, a new follower is never told that it has everything.
        clock: nanoseconds since the epoch; `advance` moves it.
        connected_seconds: what `connected_for` returns.
        max_in_flight: how many turns TURNS holds.
    """

    def __init__(self, *, max_payload: int = 1 << 20, max_in_flight: int = 4) -> None:
        """Start with empty streams."""
        self.max_in_flight = max_in_flight
        self.faults: deque[str] = deque()
        self.unavailable = False
        self.stopped_writing = False
        self.catches_up = True
        self.clock = 1_795_000_000 * NANOSECONDS
        self.connected_seconds = 1e9
        self._max_payload = max_payload
        self._lock = threading.RLock()
        self._streams = MemoryStreams()
        self._losses = 0
        self._queue = MemoryQueue()
        self._watchers: list[tuple[str, Callable[[str], None]]] = []
        self._held_back: list[Callable[[], None]] | None = None
        self._followers: list[tuple[str, str, Callable[[Message], None], Callable[[], None]]] = []

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.clock += int(seconds * NANOSECONDS)

    def lag(self) -> None:
        """From now on direct gets return the messages of this moment, as from a stale replica."""
        self._streams.freeze_replica()

    def lose_all_data(self) -> None:
        """Recreate all streams, empty, as after the servers have lost their data."""
        with self._lock:
            self._streams.clear()
            self._losses += 1
            self._queue.clear()
            followers, self._followers = self._followers, []
        for _, _, _, on_stream_recreated in followers:
            on_stream_recreated()

    @property
    def settled(self) -> list[tuple[str, str]]:
        """The subjects of all settled turns, each with how: ack, nak or term."""
        return self._queue.settled

    def _check_available(self) -> None:
        if self.unavailable:
            raise Unavailable("NATS does not answer. Try again.", retry_after=2)

    def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        expected: int,
        expected_filter: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """See `Bus.publish`."""
        if len(payload) > self._max_payload:
            raise TooLarge
        with self._lock:
            fault = self.faults.popleft() if self.faults else ""
            if self.unavailable or self.stopped_writing or fault == "lost":
                raise OutcomeUnknown
            if fault == "full":
                raise QueueFull
            last = self._streams.last(_stream_of(subject), expected_filter or subject)
            if _stream_of(subject) == TURNS and len(self._streams.turns()) >= self.max_in_flight:
                raise QueueFull
            if fault == "busy" or (last.seq if last else 0) != expected:
                raise SequenceConflict
            seq = self.inject(subject, payload, headers)
        for pattern, notify in list(self._watchers):
            if matches(subject, pattern):
                notify(subject)
        if fault == "answer lost":
            raise OutcomeUnknown
        return seq

    def inject(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Store a message without any condition, as another client of NATS can."""
        stream = _stream_of(subject)
        with self._lock:
            self.clock += 1
            message = self._streams.store(stream, subject, self.clock, payload, headers or {})
            if stream == TURNS:
                self._queue.add(message.seq)
            for followed, pattern, on_message, _ in list(self._followers):
                if followed == stream and matches(subject, pattern):
                    if self._held_back is None:
                        on_message(message)
                    else:
                        self._held_back.append(partial(on_message, message))
            return message.seq

    def hold_followers_back(self) -> None:
        """From now on followers get no message, until `let_followers_go_on`."""
        self._held_back = []

    def let_followers_go_on(self) -> None:
        """Deliver to followers what was held back, and what is published from now on."""
        with self._lock:
            held_back, self._held_back = self._held_back or [], None
            for deliver in held_back:
                deliver()

    def get_last_message(self, stream: str, subject: str, *, leader: bool) -> Message | None:
        """See `Bus.get_last_message`."""
        self._check_available()
        with self._lock:
            return self._streams.last(stream, subject, leader=leader)

    def get_message(self, stream: str, seq: int) -> Message | None:
        """See `Bus.get_message`."""
        self._check_available()
        with self._lock:
            return self._streams.at(stream, seq)

    def purge(self, stream: str, subject: str, *, below: int | None = None) -> None:
        """See `Bus.purge`."""
        self._check_available()
        with self._lock:
            self._streams.purge(stream, subject, below)

    def list_subjects(self, stream: str, filter_subject: str) -> list[str]:
        """See `Bus.list_subjects`."""
        self._check_available()
        with self._lock:
            return self._streams.subjects(stream, filter_subject)

    def now(self) -> int:
        """See `Bus.now`."""
        self._check_available()
        return self.clock

    def count_after(self, stream: str, subject: str, after: int) -> int:
        """See `Bus.count_after`."""
        self._check_available()
        with self._lock:
            return len(self._streams.after(stream, after, subject, leader=False))

    def check(self) -> None:
        """See `Bus.check`."""
        self._check_available()

    def check_writes(self) -> None:
        """See `Bus.check_writes`."""
        self._check_available()
        if self.stopped_writing:
            raise NotStored("NATS has stopped storing messages")

    def turn_source(self) -> Source:
        """See `Bus.turn_source`."""
        return MemorySource(self.take)

    def take(self) -> Delivery | None:
        """Deliver the next turn; None if there is none."""
        self._check_available()
        with self._lock:
            seq = self._queue.take(self._streams.turns())
            message = None if seq is None else self._streams.at(TURNS, seq)
        return None if message is None else MemoryDelivery(self._settle, message)

    def _settle(self, message: Message, how: str) -> None:
        self._check_available()
        with self._lock:
            self._queue.settle(message, how)
            if how != "nak":
                self._streams.purge(TURNS, message.subject, message.seq + 1)

    def follow(
        self,
        stream: str,
        on_message: Callable[[Message], None],
        on_caught_up: Callable[[], None],
        on_stream_recreated: Callable[[], None],
        *,
        subject: str | None = None,
        after: int = 0,
    ) -> Callable[[], None]:
        """See `Bus.follow`; the callbacks run on the thread that calls or publishes."""
        pattern = subject or _ALL[stream]
        entry = (stream, pattern, on_message, on_stream_recreated)
        with self._lock:
            for message in self._streams.after(stream, after, pattern):
                on_message(message)
            self._followers.append(entry)
        if self.catches_up:
            on_caught_up()
        return lambda: self._followers.remove(entry) if entry in self._followers else None

    def read_after(self, stream: str, subject: str, after: int, *, max_bytes: int) -> list[Message]:
        """See `Bus.read_after`."""
        self._check_available()
        with self._lock:
            found = self._streams.after(stream, after, subject, leader=False)
            if not found:
                return self._streams.after(stream, after, subject)[:1]
        sizes = itertools.accumulate(len(message.data) for message in found)
        return found[: 1 + sum(size < max_bytes for size in sizes)]

    def stream_end(self, stream: str) -> StreamEnd:
        """See `Bus.stream_end`."""
        self._check_available()
        with self._lock:
            kept = self._streams.after(stream, 0, _ALL[stream])
            oldest = kept[0].time if kept else 0
            last = self._streams.last_seq[stream]
            size = sum(len(message.data) for message in kept)
            return StreamEnd(str(self._losses), last, self.clock, len(kept), oldest, size)

    def last_seq(self, stream: str) -> int:
        """See `Bus.last_seq`."""
        self._check_available()
        return self._streams.last_seq[stream]

    def message_count(self, stream: str) -> int:
        """See `Bus.message_count`."""
        self._check_available()
        with self._lock:
            return len(self._streams.subjects(stream, _ALL[stream]))

    def watch(self, subject: str, on_message: Callable[[str], None]) -> Callable[[], None]:
        """See `Bus.watch`."""
        entry = (subject, on_message)
        self._watchers.append(entry)
        return lambda: self._watchers.remove(entry)

    def connected_for(self) -> float:
        """See `Bus.connected_for`."""
        return 0.0 if self.unavailable else self.connected_seconds

    def close(self) -> None:
        """See `Bus.close`."""


def _stream_of(subject: str) -> str:
    return next(stream for stream in _ALL if subject.startswith(f"kinora.{stream.lower()}"))


_ALL = {REQUESTS: ALL_REQUESTS, VIDEOS: ALL_VIDEOS, TURNS: ALL_TURNS, QUEUE: QUEUE_SUBJECT}
