"""The streams in memory: fulfils `Bus`, and the tests of the real server."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from functions.shared.errors import (
    OutcomeUnknown,
    QueueFull,
    SequenceConflict,
    TooLarge,
    Unavailable,
)
from functions.shared.streams.bus import Delivery, Message, RequestSource
from functions.shared.subjects import ALL_REQUESTS, ALL_VIDEOS, REQUESTS, VIDEOS, VideoKey
from functions.shared.timestamps import NANOSECONDS
from tests.fakes.memory_queue import MemoryDelivery, MemoryQueue, MemorySource


class MemoryBus:
    """Both streams in memory, with a clock and with faults that a test sets.

    Attributes:
        faults: what happens to the next publishes, one entry each, before all is well again:
            "lost" (not stored, and no answer), "answer lost" (stored, but no answer), "busy"
            (refused although nobody else published), "full".
        away: while true, every call fails as without a connection.
        lagging: what direct gets see of the streams, as on a replica that lags behind; `lag` sets
            it to the present state, and None is no lag.
        clock: nanoseconds since the epoch; `advance` moves it.
    """

    def __init__(self, *, max_payload: int = 1 << 20) -> None:
        """Start with two empty streams."""
        self.faults: deque[str] = deque()
        self.unavailable = False
        self.lagging: dict[str, dict[str, Message]] | None = None
        self.clock = 1_795_000_000 * NANOSECONDS
        self.connected_seconds = 1e9
        self._max_payload = max_payload
        self._lock = threading.RLock()
        self._seq = {REQUESTS: 0, VIDEOS: 0}
        self._messages: dict[str, dict[str, Message]] = {REQUESTS: {}, VIDEOS: {}}
        self._queue = MemoryQueue()
        self._watchers: list[tuple[str, Callable[[str], None]]] = []
        self._followers: list[tuple[str, str, Callable[[Message], None], Callable[[], None]]] = []

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock += int(seconds * NANOSECONDS)

    def lag(self) -> None:
        """From now on direct gets answer with what is known at this moment."""
        self.lagging = {stream: dict(messages) for stream, messages in self._messages.items()}

    def _ask(self) -> None:
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
            if self.unavailable or fault == "lost":
                raise OutcomeUnknown
            if fault == "full":
                raise QueueFull
            stream = REQUESTS if subject.startswith("kinora.requests.") else VIDEOS
            newest = self._newest(stream, expected_filter or subject)
            if fault == "busy" or (newest.seq if newest else 0) != expected:
                raise SequenceConflict
            seq = self._store(stream, subject, payload, headers or {})
        for pattern, notify in list(self._watchers):
            if _matches(subject, pattern):
                notify(subject)
        if fault == "answer lost":
            raise OutcomeUnknown
        return seq

    def inject(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Publish as somebody would who knows nothing of Kinora's rules: without a condition."""
        with self._lock:
            stream = REQUESTS if subject.startswith("kinora.requests.") else VIDEOS
            return self._store(stream, subject, payload, headers or {})

    def _store(self, stream: str, subject: str, payload: bytes, headers: Mapping[str, str]) -> int:
        self.clock += 1
        self._seq[stream] += 1
        message = Message(subject, self._seq[stream], self.clock, payload, dict(headers))
        self._messages[stream][subject] = message
        if stream == REQUESTS:
            self._queue.add(message.seq)
        for followed, pattern, on_message, _ in list(self._followers):
            if followed == stream and _matches(subject, pattern):
                on_message(message)
        return message.seq

    def _newest(self, stream: str, pattern: str, *, leader: bool = True) -> Message | None:
        known = self._messages if leader or self.lagging is None else self.lagging
        found = [m for m in known[stream].values() if _matches(m.subject, pattern)]
        return max(found, key=lambda message: message.seq, default=None)

    def get_last_message(self, stream: str, subject: str, *, leader: bool) -> Message | None:
        """See `Bus.get_last_message`."""
        self._ask()
        with self._lock:
            return self._newest(stream, subject, leader=leader)

    def get_message(self, stream: str, seq: int) -> Message | None:
        """See `Bus.get_message`."""
        self._ask()
        with self._lock:
            return next((m for m in self._messages[stream].values() if m.seq == seq), None)

    def purge(self, stream: str, subject: str, *, below: int | None = None) -> None:
        """See `Bus.purge`."""
        self._ask()
        with self._lock:
            for message in list(self._messages[stream].values()):
                if _matches(message.subject, subject) and (below is None or message.seq < below):
                    del self._messages[stream][message.subject]

    def list_subjects(self, stream: str, filter_subject: str) -> list[str]:
        """See `Bus.list_subjects`."""
        self._ask()
        with self._lock:
            return [s for s in self._messages[stream] if _matches(s, filter_subject)]

    def now(self) -> int:
        """See `Bus.now`."""
        self._ask()
        return self.clock

    def backlog(self) -> int:
        """See `Bus.backlog`."""
        self._ask()
        with self._lock:
            return self._queue.backlog(self._requests())

    def undelivered(self, account: str) -> int:
        """See `Bus.undelivered`."""
        self._ask()
        with self._lock:
            return self._queue.never_taken(self._requests(account))

    def _requests(self, account: str | None = None) -> set[int]:
        return {
            message.seq
            for message in self._messages[REQUESTS].values()
            if account is None or VideoKey.from_subject(message.subject).account == account
        }

    def check(self) -> None:
        """See `Bus.check`."""
        self._ask()

    def request_source(self) -> RequestSource:
        """See `Bus.request_source`."""
        return MemorySource(self.take)

    def take(self) -> Delivery | None:
        """The next request, or None."""
        self._ask()
        with self._lock:
            seq = self._queue.take(self._requests())
            message = None if seq is None else self.get_message(REQUESTS, seq)
        return None if message is None else MemoryDelivery(self._settle, message)

    def _settle(self, message: Message, word: str) -> None:
        self._ask()
        with self._lock:
            self._queue.settle(message, word)

    @property
    def settled(self) -> list[tuple[str, str]]:
        """The subjects of all requests that were settled, each with how: ack, nak or term."""
        return self._queue.settled

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
        """See `Bus.follow`; everything happens on the caller's thread."""
        pattern = subject or {REQUESTS: ALL_REQUESTS, VIDEOS: ALL_VIDEOS}[stream]
        entry = (stream, pattern, on_message, on_stream_recreated)
        with self._lock:
            for message in sorted(self._messages[stream].values(), key=lambda m: m.seq):
                if message.seq > after and _matches(message.subject, pattern):
                    on_message(message)
            self._followers.append(entry)
        on_caught_up()
        return lambda: self._followers.remove(entry) if entry in self._followers else None

    def lose_all_data(self) -> None:
        """Begin anew with empty streams, as servers do that have lost their data."""
        with self._lock:
            self._seq = {REQUESTS: 0, VIDEOS: 0}
            self._messages = {REQUESTS: {}, VIDEOS: {}}
            self._queue.clear()
            followers, self._followers = self._followers, []
        for _, _, _, on_stream_recreated in followers:
            on_stream_recreated()

    def last_seq(self, stream: str) -> int:
        """See `Bus.last_seq`."""
        self._ask()
        return self._seq[stream]

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


def _matches(subject: str, pattern: str) -> bool:
    mine, theirs = subject.split("."), pattern.split(".")
    return len(mine) == len(theirs) and all(map(fnmatchcase, mine, theirs))
