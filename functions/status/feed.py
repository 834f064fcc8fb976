"""Server-Sent Events: what happens to an account's videos, as it happens, and resumable.

The format is that of the HTML standard, section 9.2. An event's id is `<seq in REQUESTS>-<seq in
VIDEOS>`, the places up to which the caller has seen both streams, so any replica of `status` can go
on from it. The streams keep the newest message a subject: what was superseded meanwhile is not
told again.
"""

from __future__ import annotations

import json
import queue
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from functions.shared.api.parameters import EVENT_ID
from functions.shared.errors import InvalidRequest, Unavailable
from functions.shared.streams.bus import Bus, Message
from functions.shared.streams.cloudevents import read_nats
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey, subject_filters

# Proxies and browsers take silence for a dead connection; the shortest usual limit is 30 s.
KEEP_ALIVE_SECONDS: Final = 10.0
# A caller who falls so far behind is cut off, and resumes where it was.
MAX_BEHIND: Final = 1000


@dataclass(frozen=True)
class Place:
    """How far somebody has seen both streams."""

    requests: int
    videos: int

    def __str__(self) -> str:
        return f"{self.requests}-{self.videos}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read an event's id.

        Raises:
            InvalidRequest: it is none.
        """
        match = re.fullmatch(EVENT_ID, text)
        if match is None:
            raise InvalidRequest(
                f"Last-Event-ID is {text[:80]!r}; send the id of an event of this feed, or none",
                param="Last-Event-ID",
            )
        return cls(int(match[1]), int(match[2]))


class Feed:
    """One open feed: an iterable of lines to send, to be closed when nobody reads them any more."""

    def __init__(
        self,
        bus: Bus,
        subjects: tuple[str, str],
        place: Place,
        end: Place,
        done: Callable[[], None],
    ) -> None:
        """Tell what happens on `subjects` after `place`; `end` is where the streams are now."""
        self._bus = bus
        self._subjects = subjects
        self._place = place
        self._end = end
        self._news: queue.Queue[tuple[str, Message] | None] = queue.Queue()
        self._begun_anew = False
        self._on_close: list[Callable[[], None]] = [done]

    def __iter__(self) -> Iterator[str]:
        place, end = self._place, self._end
        # The first bytes go out at once, so that the caller knows that it is connected.
        yield f": kinora\nid: {place}\n\n"
        if place.requests > end.requests or place.videos > end.videos:
            place = end
            yield _reset(place)
        self._follow(REQUESTS, self._subjects[0], place.requests)
        self._follow(VIDEOS, self._subjects[1], place.videos)
        yield from _told(self._news, place)
        if self._begun_anew:
            # Everything that is in the new streams is told when the caller comes back.
            yield _reset(Place(0, 0))

    def _follow(self, stream: str, subject: str, after: int) -> None:
        def tell(message: Message) -> None:
            self._news.put((stream, message))

        self._on_close.append(
            self._bus.follow(stream, tell, _ignore, self._begin_anew, subject=subject, after=after)
        )

    def _begin_anew(self) -> None:
        self._begun_anew = True
        self._news.put(None)

    def close(self) -> None:
        """Follow the streams no longer. A server calls this even if it has read nothing."""
        while self._on_close:
            self._on_close.pop()()


class Feeds:
    """The open feeds, of which each holds a thread of the server, so there is a limit."""

    def __init__(self, bus: Bus, *, most: int) -> None:
        """Allow `most` feeds at a time."""
        self._bus = bus
        self._free = threading.BoundedSemaphore(most)

    def open(self, account: str, video_id: str | None, last_event_id: str | None) -> Feed:
        """A feed of one account, or of one of its videos.

        Without `last_event_id` it begins with what happens next.

        Raises:
            InvalidRequest: `last_event_id` is no event's id, or `video_id` no video's.
            Unavailable: too many feeds are open, or NATS does not answer.
        """
        subjects = subject_filters(account, video_id)
        end = Place(self._bus.last_seq(REQUESTS), self._bus.last_seq(VIDEOS))
        place = end if last_event_id is None else Place.parse(last_event_id)
        if not self._free.acquire(blocking=False):
            raise Unavailable("Too many event streams are open. Try again.", retry_after=10)
        return Feed(self._bus, subjects, place, end, self._free.release)


def _reset(place: Place) -> str:
    """Tell that what was told before is no longer so: the streams were begun anew."""
    return f"id: {place}\nevent: reset\ndata: {{}}\n\n"


def _ignore() -> None:
    """A feed does not tell when it has caught up."""


def _told(news: queue.Queue[tuple[str, Message] | None], place: Place) -> Iterator[str]:
    while news.qsize() < MAX_BEHIND:
        try:
            item = news.get(timeout=KEEP_ALIVE_SECONDS)
        except queue.Empty:
            yield ": still here\n\n"
            continue
        if item is None:
            return
        stream, message = item
        place = (
            Place(message.seq, place.videos)
            if stream == REQUESTS
            else Place(place.requests, message.seq)
        )
        event = _event_of(message)
        if event is not None:
            yield f"id: {place}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"


def _event_of(message: Message) -> dict[str, object] | None:
    """The CloudEvent in structured mode; None for what is none, which fails in a moment."""
    try:
        event = read_nats(message.headers, message.data)
        key = VideoKey.from_subject(message.subject)
    except InvalidRequest:
        return None
    # The subject is the authority for both, whatever the publisher wrote.
    names = {"subject": key.video_id, "account": key.account}
    return {**event.attributes, **names, "data": event.data}
