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
from functions.shared.subjects import (
    ALL_REQUESTS,
    ALL_VIDEOS,
    REQUESTS,
    VIDEOS,
    VideoKey,
    names_by_video,
)
from functions.shared.timestamps import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS, NANOSECONDS
from functions.status.index import VideoIndex
from functions.status.listing.table import IndexedVideo

log = logging.getLogger(__name__)

# All subjects are compared this often in any case.
COMPARE_SECONDS: Final = 10 * MINUTE_SECONDS


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
            lost = self._compare()
        except Unavailable:
            self.suspected = True
            return False
        self._compared_at = time.monotonic()
        self._took = self._compared_at - begun
        self.suspected = False
        return lost

    def _compare(self) -> bool:
        since = self._bus.now() - self.kept_seconds * NANOSECONDS
        # Before the subjects, so that what is published or deleted meanwhile is found to be newer.
        indexed = self._index.newest_messages(since)
        requests = names_by_video(self._bus.list_subjects(REQUESTS, ALL_REQUESTS))
        videos = names_by_video(self._bus.list_subjects(VIDEOS, ALL_VIDEOS))
        for key, video in indexed:
            stored = video.event in videos.get(key, ()) if video.event_seq else key in requests
            if not stored and self._is_lost(key, video):
                log.warning("%s is in the list, but no longer in the streams", key.video_id)
                return True
        return False

    def _is_lost(self, key: VideoKey, video: IndexedVideo) -> bool:
        """Whether the leader has neither the video's newest message in the index nor a newer."""
        event = self._bus.get_last_message(VIDEOS, key.events_filter, leader=True)
        if video.event_seq or event is not None:
            return event is None or event.seq < video.event_seq
        request = self._bus.get_last_message(REQUESTS, key.request_subject, leader=True)
        return request is None or request.seq < video.request_seq
