"""The newest messages of both streams, kept once for all clients."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Bus, Message
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.status.feeds.blocks import event_fields
from functions.status.feeds.position import FeedPosition

# What Python needs for an entry and for a message with its headers, beside the data.
_ENTRY_BYTES: Final = 2048


class FellBehindError(Exception):
    """A message that a reader has not read is no longer in the tail, but still in its stream."""


@dataclass(eq=False)
class TailEntry:
    """A message that some client may not have been told of yet."""

    index: int
    stream: str
    seq: int
    key: VideoKey
    # Until the first client is told of it; then `fields` takes its place.
    message: Message | None
    fields: bytes = b""

    @property
    def size(self) -> int:
        """In memory, in bytes."""
        return _ENTRY_BYTES + len(self.fields if self.message is None else self.message.data)


class TailReader:
    """One client's place in the tail, which needs no memory for what the client has not read."""

    def __init__(self, account: str, video_id: str | None) -> None:
        """Read the messages of an account's videos, or of one of them."""
        self.account = account
        self.video_id = video_id
        # Set when there may be something to read, and when the tail has ended.
        self.wake = threading.Event()
        # Of the tail: the entry to look at next, and the newest one for this reader.
        self.next = 0
        self.newest = -1

    def wants(self, key: VideoKey) -> bool:
        """Whether this reader reads the messages of a video."""
        return key.account == self.account and self.video_id in (None, key.video_id)


class Tail:
    """Follows both streams from a position on, until they are recreated."""

    def __init__(self, bus: Bus, start: FeedPosition, *, max_bytes: int) -> None:
        """Keep the newest `max_bytes` of what comes after `start`."""
        self._bus = bus
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: dict[int, TailEntry] = {}
        self._first = 0
        self._end = 0
        self._bytes = 0
        self._kept_after = start
        self._reached = start
        self._readers: defaultdict[str, set[TailReader]] = defaultdict(set)
        self._stop_following: list[Callable[[], None]] = []
        self.ended = False

    def start(self) -> None:
        """Start to follow the streams.

        Raises:
            Unavailable: NATS does not answer.
        """
        for stream in (REQUESTS, VIDEOS):
            stop = self._bus.follow(
                stream,
                partial(self._append, stream),
                _ignore_caught_up,
                self._end_all,
                after=self._kept_after.seq(stream),
            )
            self._stop_following.append(stop)

    def stop(self) -> None:
        """Stop following the streams."""
        while self._stop_following:
            self._stop_following.pop()()

    def bounds(self) -> tuple[FeedPosition, FeedPosition]:
        """The position after which the tail has every message, and the one that it has reached."""
        with self._lock:
            return self._kept_after, self._reached

    def join(self, reader: TailReader, position: FeedPosition) -> bool:
        """Let `reader` read on after `position`; False if the tail no longer has all of that.

        It may read messages again that it has read before.
        """
        with self._lock:
            if not position.covers(self._kept_after):
                return False
            self._readers[reader.account].add(reader)
            reader.next, reader.newest = self._first, self._end - 1
            return True

    def leave(self, reader: TailReader) -> None:
        """Forget a reader, joined or not."""
        with self._lock:
            self._readers[reader.account].discard(reader)
            if not self._readers[reader.account]:
                del self._readers[reader.account]

    def read(self, reader: TailReader) -> TailEntry | None:
        """The next message for `reader`; None if there is none yet.

        Raises:
            FellBehindError: the tail no longer has it.
        """
        with self._lock:
            while reader.next <= reader.newest:
                entry = self._entries.get(reader.next)
                if entry is None:
                    raise FellBehindError
                reader.next += 1
                if reader.wants(entry.key):
                    return entry
            return None

    def fields(self, entry: TailEntry) -> bytes:
        """What clients are told of a message; see `event_fields`. Rendered once for all of them."""
        message = entry.message
        if message is None:
            return entry.fields
        fields = event_fields(entry.stream, message)
        with self._lock:
            before = entry.size
            # In this order, for other threads that read without the lock.
            entry.fields = fields
            entry.message = None
            if entry.index in self._entries:
                self._bytes += entry.size - before
                self._drop_oldest()
        return fields

    def _append(self, stream: str, message: Message) -> None:
        try:
            key = VideoKey.from_subject(message.subject)
        except InvalidRequest:
            return  # `dispatch` drops it
        with self._lock:
            index, self._end = self._end, self._end + 1
            entry = self._entries[index] = TailEntry(index, stream, message.seq, key, message)
            self._bytes += entry.size
            self._reached = self._reached.advanced(stream, message.seq)
            self._drop_oldest()
            for reader in self._readers.get(key.account, ()):
                if reader.wants(key):
                    if reader.newest < reader.next:
                        reader.next = index
                    reader.newest = index
                    reader.wake.set()

    def _drop_oldest(self) -> None:
        while self._bytes > self._max_bytes:
            oldest = self._entries.pop(self._first)
            self._first += 1
            self._bytes -= oldest.size
            self._kept_after = self._kept_after.advanced(oldest.stream, oldest.seq)

    def _end_all(self) -> None:
        with self._lock:
            self.ended = True
            for readers in self._readers.values():
                for reader in readers:
                    reader.wake.set()


def _ignore_caught_up() -> None:
    """A feed does not report that it has caught up."""
