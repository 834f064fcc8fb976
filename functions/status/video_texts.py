"""Videos as JSON, ready to be sent: those that were changed or read last.

A text has null for what changes without an event: the place in the queue, and the time left. Both
are written into it when it is sent. Safe to use from any thread.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import Final, NamedTuple

from functions.shared.api.video_schema import Video
from functions.shared.subjects import VideoKey
from functions.shared.video.events import State
from functions.status.eta.forecast import Place

UNFINISHED: Final = frozenset({State.QUEUED.value, State.IN_PROGRESS.value})
# Of each, beside its text: the key and the entry.
OVERHEAD_BYTES: Final = 600

# Fields of the video object that follow each other. Within a string, quotes are escaped, so a
# prompt or a pair of metadata can't look like this.
_UNKNOWN: Final = (
    b'"eta_seconds":null,"queue_position":null,"own_queue_position":null,"queue_accounts":null'
)


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

    def filled(self, eta_seconds: float | None, place: Place | None) -> bytes:
        """The text with the time left, and the place in the queue."""
        # As `json.dumps` writes numbers, in a fifth of its time.
        eta = "null" if eta_seconds is None else repr(eta_seconds)
        position, own, accounts = ("null",) * 3 if place is None else map(repr, place)
        known = (
            f'"eta_seconds":{eta},"queue_position":{position},"own_queue_position":{own},'
            f'"queue_accounts":{accounts}'
        )
        return self.text.replace(_UNKNOWN, known.encode(), 1)


def text_of(video: Video | None) -> bytes:
    """The text of a video object whose eta and position are null; empty for a deleted video."""
    return b"" if video is None else json.dumps(video, separators=(",", ":")).encode()


class VideoTexts:
    """The newest texts, as many as fit; of the others, the table has the messages."""

    def __init__(self, max_bytes: int) -> None:
        """Start empty; forget those that were used longest ago beyond `max_bytes`."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._texts: OrderedDict[VideoKey, VideoText] = OrderedDict()
        self._changes = 0
        self._lock = threading.Lock()

    @property
    def changes(self) -> int:
        """How many changes there were; for `keep`."""
        return self._changes

    def put(self, key: VideoKey, text: VideoText | None) -> None:
        """A video has changed: keep its new text, or, without one, nothing."""
        with self._lock:
            self._changes += 1
            self._set(key, text)

    def keep(self, key: VideoKey, text: VideoText, changes: int) -> None:
        """Keep what the table told, unless a video has changed since there were `changes`."""
        with self._lock:
            # The table may have been read before that change, and the text be of what was before.
            if changes == self._changes:
                self._set(key, text)

    def get(self, key: VideoKey) -> VideoText | None:
        """What is kept of a video, even if it was deleted; None if nothing is."""
        with self._lock:
            text = self._texts.get(key)
            if text is not None:
                self._texts.move_to_end(key)
            return text

    def clear(self) -> None:
        """Forget all videos."""
        with self._lock:
            self._changes += 1
            self._texts.clear()
            self._bytes = 0

    def _set(self, key: VideoKey, text: VideoText | None) -> None:
        old = self._texts.pop(key, None)
        if old is not None:
            self._bytes -= len(old.text) + OVERHEAD_BYTES
        if text is not None:
            self._texts[key] = text
            self._bytes += len(text.text) + OVERHEAD_BYTES
        while self._bytes > self._max_bytes:
            _, oldest = self._texts.popitem(last=False)
            self._bytes -= len(oldest.text) + OVERHEAD_BYTES
