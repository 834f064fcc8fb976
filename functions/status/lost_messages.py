"""Notices that a stream has lost messages that the list was built from.

The streams emit no event for that: an operator purges one, or NATS drops what a damaged file had
when it restarts. A video would then read differently in the list and alone.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from functions.shared.backoff import PAUSE_FACTOR
from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Bus
from functions.shared.subjects import ALL_REQUESTS, REQUESTS, VIDEOS
from functions.shared.timestamps import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS, NANOSECONDS
from functions.shared.video.events import EventName
from functions.status.index import VideoIndex
from functions.status.listing.reader import IndexedVideo

log = logging.getLogger(__name__)

# All subjects are compared this often in any case.
COMPARE_SECONDS: Final = 10 * MINUTE_SECONDS
# So few videos are asked for one by one, in half a millisecond each.
MAX_ASKED: Final = 100


class LostMessages:
    """Compares the index with the streams whenever there may be a loss. For one thread.

    Attributes:
        kept_seconds: younger messages have not expired.
        suspected: there may be a loss since the last comparison.
    """

    def __init__(self, bus: Bus, index: VideoIndex, *, max_age_days: int) -> None:
        """Compare `index` with the streams of `bus`, which keep messages for `max_age_days`."""
        self._bus = bus
        self._index = index
        # Those that expire while they are compared are left out.
        self.kept_seconds: Final = max_age_days * DAY_SECONDS - HOUR_SECONDS
        self._counts: dict[str, int] = {}
        self._checked_at = self._compared_at = time.monotonic()
        self._took = 0.0
        # Something may be lost between the replay and the first look.
        self.suspected = True

    def suspect(self) -> None:
        """Compare soon: somebody else has a reason to."""
        self.suspected = True

    def found(self) -> bool:
        """Whether the streams lack what the index has; False while NATS does not answer.

        Cheap unless a stream has fewer messages than before, or the connection was interrupted.
        """
        begun = time.monotonic()
        self.suspected |= self._bus.connected_for() < begun - self._checked_at
        self._checked_at = begun
        try:
            counts = {stream: self._bus.message_count(stream) for stream in (REQUESTS, VIDEOS)}
            fewer = any(counts[stream] < self._counts.get(stream, 0) for stream in counts)
            self._counts = counts
            age = begun - self._compared_at
            self.suspected |= fewer or age > COMPARE_SECONDS
            if not self.suspected or age < PAUSE_FACTOR * self._took:
                return False
            lost = self._timed()
        except Unavailable:
            self.suspected = True
            return False
        self.suspected = False
        return lost

    def _timed(self) -> bool:
        """Compare; what takes NATS too long to answer is not repeated at once."""
        begun = time.monotonic()
        try:
            return self._compare()
        finally:
            self._compared_at = time.monotonic()
            self._took = self._compared_at - begun

    def _compare(self) -> bool:
        since = self._bus.now() - self.kept_seconds * NANOSECONDS
        # What is published or deleted after the index was read is found to be newer.
        with self._index.reading() as indexed:
            for event, count in indexed.counts(since).items():
                stored = self._subjects(event) if count > MAX_ASKED else []
                for video in indexed.not_among(stored, event, since):
                    if self._is_lost(video):
                        name = video.key.video_id
                        log.warning("%s is in the list, but no longer in the streams", name)
                        return True
        return False

    def _subjects(self, event: EventName) -> list[str]:
        """The subjects of all messages of a kind. Of one kind at a time, they fit the memory."""
        if event is EventName.REQUESTED:
            return self._bus.list_subjects(REQUESTS, ALL_REQUESTS)
        return self._bus.list_subjects(VIDEOS, f"kinora.videos.*.*.{event}")

    def _is_lost(self, video: IndexedVideo) -> bool:
        """Whether the leader has neither the video's newest message in the index nor a newer."""
        event = self._bus.get_last_message(VIDEOS, video.key.events_filter, leader=True)
        if video.event_seq or event is not None:
            return event is None or event.seq < video.event_seq
        request = self._bus.get_last_message(REQUESTS, video.key.request_subject, leader=True)
        return request is None or request.seq < video.request_seq
