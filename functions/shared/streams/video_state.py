"""The state of a video, as its newest event in the stream VIDEOS tells it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from functions.shared.errors import InvalidEvent
from functions.shared.streams.bus import Message
from functions.shared.streams.video_events import read_video_event
from functions.shared.subjects import VideoKey
from functions.shared.video.events import TERMINAL, Completed, CreatedData, EventName, Started

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoState:
    """What is known of a video: its newest event. Without one, there is at most a request.

    Attributes:
        key: which video.
        seq: the newest event's sequence in VIDEOS; 0 without an event.
        name: the newest event; None without one, or if only a later version of Kinora knows it.
        event_id: the CloudEvent's id; empty without an event, or if it can't be read.
        data: the event's data, one of the models in `functions.shared.video.events`; None without
            an event, or if it can't be read.
    """

    key: VideoKey
    seq: int = 0
    name: EventName | None = None
    event_id: str = ""
    data: BaseModel | None = None

    @property
    def unreadable(self) -> bool:
        """There is an event, but a later version of Kinora, or another program, wrote it."""
        return self.seq > 0 and self.data is None

    @property
    def queued(self) -> bool:
        """No worker has claimed the video: there is no event, or one that is ignored.

        An unreadable event that is not terminal is ignored.
        """
        return self.data is None and not self.terminal

    @property
    def terminal(self) -> bool:
        """The video has ended; it can only be deleted. Holds for unreadable events too."""
        return self.name in TERMINAL

    @property
    def deleted(self) -> bool:
        """The video was deleted."""
        return self.name is EventName.DELETED

    @property
    def attempt(self) -> int:
        """The number of the latest attempt; 0 before the first."""
        return getattr(self.data, "attempt", 0)

    @property
    def lease_id(self) -> str | None:
        """The lease that the video runs under, or ran under until the worker released it."""
        return self.data.lease.id if isinstance(self.data, Started) else None

    @property
    def created_at(self) -> str | None:
        """JetStream's timestamp of the request, once an event carries it."""
        return self.data.created_at if isinstance(self.data, CreatedData) else None


@dataclass(frozen=True)
class Snapshot(VideoState):
    """A state that was read from the stream, and so has an age.

    Attributes:
        time: the newest event's JetStream timestamp, in nanoseconds; 0 without an event.
    """

    time: int = 0


def snapshot_of(key: VideoKey, message: Message | None) -> Snapshot:
    """The state that a message of the stream VIDEOS holds; None is the state without an event.

    The subject names the event even where the message can't be read, so unreadable terminal events
    stay terminal; other unreadable events are ignored (see `Snapshot.queued`).
    """
    if message is None:
        return Snapshot(key)
    try:
        name, event_id, data = read_video_event(message.headers, message.data)
        _check_prefix(key, data)
    except (InvalidEvent, ValidationError) as problem:
        # The first line only: the rest quotes the message.
        log.warning("%s is unreadable: %s", message.subject, str(problem).splitlines()[0])
        named = _named_by(message.subject)
        return Snapshot(key, message.seq, named, time=message.time)
    return Snapshot(key, message.seq, name, event_id, data, message.time)


def _named_by(subject: str) -> EventName | None:
    token = subject.rpartition(".")[2]
    return next((name for name in EventName if name == token), None)


def _check_prefix(key: VideoKey, data: BaseModel) -> None:
    if isinstance(data, Completed) and not data.output.prefix.startswith(key.object_prefix):
        raise InvalidEvent("The files of a video must be under its own prefix", param="prefix")
