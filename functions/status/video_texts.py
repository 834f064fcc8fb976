"""The videos of the index as JSON, ready to be sent. Safe to use from any thread.

A text has null for what changes without an event: the place in the queue, and the time left. Both
are written into it when it is sent.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from typing import Final, NamedTuple

from functions.shared.api.video_schema import Video
from functions.shared.subjects import VideoKey
from functions.shared.video.events import State

UNFINISHED: Final = frozenset({State.QUEUED.value, State.IN_PROGRESS.value})

# Fields of the video object that follow each other. Within a string, quotes are escaped, so a
# prompt or a pair of metadata can't look like this.
_UNKNOWN: Final = b'"eta_seconds":null,"queue_position":null'


class VideoText(NamedTuple):
    """A video as JSON.

    Attributes:
        text: the video object; empty for a deleted video.
        status: as in the HTTP API; empty for a deleted video.
        created: JetStream's timestamp of the request, in nanoseconds.
        request_seq: of the request, in REQUESTS; 0 if an event tells the state.
        event_seq: of the event that tells the state, in VIDEOS; 0 without one.
    """

    text: bytes
    status: str
    created: int
    request_seq: int = 0
    event_seq: int = 0

    @property
    def unfinished(self) -> bool:
        """The video waits or runs."""
        return self.status in UNFINISHED

    def filled(self, eta_seconds: float | None, queue_position: int | None) -> bytes:
        """The text with these two fields."""
        # As `json.dumps` writes numbers, in a fifth of its time.
        eta = "null" if eta_seconds is None else repr(eta_seconds)
        position = "null" if queue_position is None else repr(queue_position)
        known = f'"eta_seconds":{eta},"queue_position":{position}'
        return self.text.replace(_UNKNOWN, known.encode(), 1)


def text_of(video: Video | None) -> bytes:
    """The text of a video object whose eta and position are null; empty for a deleted video."""
    return b"" if video is None else json.dumps(video, separators=(",", ":")).encode()


class VideoTexts:
    """The newest text of each video, in whatever order the messages of both streams come."""

    def __init__(self) -> None:
        """Start empty."""
        # By account, then by id: a reader of a page has only the ids.
        self._accounts: dict[str, dict[str, VideoText]] = {}
        self._lock = threading.Lock()

    def put(self, key: VideoKey, new: VideoText) -> None:
        """Keep `new`, unless what is known of the video is newer: an event precedes any request."""
        with self._lock:
            videos = self._accounts.setdefault(key.account, {})
            old = videos.get(key.video_id)
            if old is None or (old.event_seq, old.request_seq) <= (new.event_seq, new.request_seq):
                videos[key.video_id] = new

    def get(self, account: str, video_id: str) -> VideoText | None:
        """What is known of a video, even if it was deleted; None if nothing is."""
        videos = self._accounts.get(account)
        return None if videos is None else videos.get(video_id)

    def size(self) -> int:
        """Of how many videos something is known."""
        with self._lock:
            return sum(map(len, self._accounts.values()))

    def remove(self, keys: Iterable[VideoKey]) -> None:
        """Forget videos."""
        with self._lock:
            for key in keys:
                self._accounts.get(key.account, {}).pop(key.video_id, None)

    def clear(self) -> None:
        """Forget all videos."""
        with self._lock:
            self._accounts.clear()
