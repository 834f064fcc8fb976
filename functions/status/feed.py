"""The event stream of an account's videos, as Server-Sent Events that clients can resume.

The format is that of the HTML standard, section 9.2. An event's id is `<seq in REQUESTS>-<seq in
VIDEOS>`, the position up to which the client has seen both streams, so any replica of `status` can
resume from it. The streams keep the newest message of each subject: events that were superseded in
the meantime are not sent.
"""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from functions.shared.api.parameters import EVENT_ID
from functions.shared.errors import InvalidRequest, Unavailable
from functions.shared.streams.bus import Bus, Message
from functions.shared.subjects import REQUESTS, VIDEOS, subject_filters
from functions.status.feed_blocks import event_block, reset_block

# Proxies and browsers close silent connections; the shortest common limit is 30 s.
KEEP_ALIVE_SECONDS: Final = 10.0
# A client with a larger backlog is disconnected, and resumes where it was.
MAX_BACKLOG: Final = 1000


@dataclass(frozen=True)
class FeedPosition:
    """The last sequence that a client has seen of each stream."""

    requests: int
    videos: int

    def __str__(self) -> str:
        return f"{self.requests}-{self.videos}"

    @classmethod
    def parse(cls, event_id: str) -> FeedPosition:
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

    def advanced(self, stream: str, seq: int) -> FeedPosition:
        """The position after the message `seq` of `stream`."""
        if stream == REQUESTS:
            return FeedPosition(seq, self.videos)
        return FeedPosition(self.requests, seq)


class Feed:
    """One open feed: an iterable of text to send, which the server closes at the end."""

    def __init__(
        self,
        bus: Bus,
        subjects: tuple[str, str],
        start: FeedPosition,
        end: FeedPosition,
        on_close: Callable[[], None],
    ) -> None:
        """Send what is published on `subjects` after `start`.

        Args:
            bus: the streams.
            subjects: subject filters for REQUESTS and VIDEOS.
            start: the client's position.
            end: the streams' last sequences.
            on_close: called once the feed is closed.
        """
        self._bus = bus
        self._subjects = subjects
        self._start = start
        self._end = end
        # None ends the feed.
        self._messages: queue.Queue[tuple[str, Message] | None] = queue.Queue()
        self._recreated = False
        self._on_close: list[Callable[[], None]] = [on_close]

    def __iter__(self) -> Iterator[str]:
        position, end = self._start, self._end
        # Sent at once, so that the client knows that it is connected. A comment, because many
        # clients parse the data of every block that has a field.
        yield f": position {position}\n\n"
        if position.requests > end.requests or position.videos > end.videos:
            position = end
            yield reset_block(str(position))
        self._follow(REQUESTS, self._subjects[0], position.requests)
        self._follow(VIDEOS, self._subjects[1], position.videos)
        yield from _events(self._messages, position)
        if self._recreated:
            # The client reconnects with this id, and gets everything in the new streams.
            yield reset_block(str(FeedPosition(0, 0)))

    def _follow(self, stream: str, subject: str, after: int) -> None:
        stop = self._bus.follow(
            stream,
            lambda message: self._messages.put((stream, message)),
            _ignore_caught_up,
            self._end_recreated,
            subject=subject,
            after=after,
        )
        self._on_close.append(stop)

    def _end_recreated(self) -> None:
        self._recreated = True
        self._messages.put(None)

    def close(self) -> None:
        """Stop following the streams. Servers call this even if nothing was iterated."""
        while self._on_close:
            self._on_close.pop()()


class Feeds:
    """Opens feeds, up to a limit: each holds one of the server's threads."""

    def __init__(self, bus: Bus, *, max_open: int) -> None:
        """Allow `max_open` feeds at a time."""
        self._bus = bus
        self._slots = threading.BoundedSemaphore(max_open)

    def open(self, account: str, video_id: str | None, last_event_id: str | None) -> Feed:
        """A feed of all videos of an account, or of one.

        Without `last_event_id`, or with an empty one, it starts with the next event.

        Raises:
            InvalidRequest: `last_event_id` or `video_id` is invalid.
            Unavailable: too many feeds are open, or NATS does not answer.
        """
        subjects = subject_filters(account, video_id)
        end = FeedPosition(self._bus.last_seq(REQUESTS), self._bus.last_seq(VIDEOS))
        start = FeedPosition.parse(last_event_id) if last_event_id else end
        if not self._slots.acquire(blocking=False):
            raise Unavailable("Too many event streams are open. Try again.", retry_after=10)
        return Feed(self._bus, subjects, start, end, self._slots.release)


def _ignore_caught_up() -> None:
    """A feed does not report that it has caught up."""


def _events(
    messages: queue.Queue[tuple[str, Message] | None], position: FeedPosition
) -> Iterator[str]:
    while messages.qsize() < MAX_BACKLOG:
        try:
            item = messages.get(timeout=KEEP_ALIVE_SECONDS)
        except queue.Empty:
            yield ": keep-alive\n\n"
            continue
        if item is None:
            return
        stream, message = item
        position = position.advanced(stream, message.seq)
        block = event_block(stream, message, str(position))
        if block is not None:
            yield block
