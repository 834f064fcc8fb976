"""Applies single messages of both streams, as they come, to what reads are answered from."""

from __future__ import annotations

import contextlib
import logging
import threading

from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Message
from functions.shared.streams.validation import read_request
from functions.shared.streams.video_state import snapshot_of
from functions.shared.subjects import VideoKey
from functions.shared.video.costs import MAX_SAMPLES
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import ResolvedRequest
from functions.status.eta.forecast import QueueForecast
from functions.status.listing.reader import IndexedVideo, Reader
from functions.status.listing.records import event_record, request_record
from functions.status.listing.table import VideoTable
from functions.status.usage import UsageByDay
from functions.status.video_texts import VideoText, VideoTexts, text_of

log = logging.getLogger(__name__)


class LiveChanges:
    """Keeps a table, the texts and the forecast in step. For one thread at a time."""

    def __init__(
        self,
        profile: Profile,
        texts: VideoTexts,
        forecast: QueueForecast,
        lock: threading.Lock,
        usage: UsageByDay,
        *,
        max_age_days: int,
    ) -> None:
        """Change `texts`, `usage`, and `forecast` while holding `lock`.

        See `VideoIndex` for the others.
        """
        self._profile = profile
        self._texts = texts
        self._forecast = forecast
        self._lock = lock
        self._usage = usage
        self._max_age_days = max_age_days

    def apply(self, table: VideoTable, message: Message) -> None:
        """Apply a message of either stream to `table` and all else.

        Raises:
            sqlite3.Error: the table can't be written.
        """
        try:
            key = VideoKey.from_subject(message.subject)
        except InvalidRequest as problem:
            log.warning("ignored a message: %s", problem.message)
            return
        if message.subject == key.request_subject:
            self._apply_request(table, key, message)
        else:
            self._apply_event(table, key, message)

    def build_forecast(self, reader: Reader) -> None:
        """Tell the forecast, which knows nothing yet, what it needs of all that `reader` finds."""
        # Of the videos that ended, it learns from the newest.
        for video, message in reader.last_ended(2 * MAX_SAMPLES):
            self._forecast_event(video.key, message)
        for video, message in reader.unfinished():
            if video.event_seq:
                self._forecast_event(video.key, message)
            else:
                with self._lock:
                    self._forecast.add_request(video.key, message, self._request(message))

    def text_of_message(self, video: IndexedVideo, message: Message) -> VideoText:
        """The text of a video, from the message that tells its state."""
        if not video.event_seq:
            request = self._request(message)
            _, queued = request_record(
                video.key.video_id, video.created, request, max_age_days=self._max_age_days
            )
            return VideoText(text_of(queued), queued["status"], video.created, video.request_seq)
        snapshot = snapshot_of(video.key, message)
        found = event_record(snapshot, max_age_days=self._max_age_days)
        shown = None if found is None else found[1]
        status = shown["status"] if shown else ""
        return VideoText(text_of(shown), status, video.created, event_seq=video.event_seq)

    def _apply_request(self, table: VideoTable, key: VideoKey, message: Message) -> None:
        request = self._request(message)
        record, video = request_record(
            key.video_id, message.time, request, max_age_days=self._max_age_days
        )
        if not table.put_request(key, message, record):
            return
        text = VideoText(text_of(video), video["status"], message.time, request_seq=message.seq)
        self._texts.put(key, text)
        with self._lock:
            self._forecast.add_request(key, message, request)

    def _apply_event(self, table: VideoTable, key: VideoKey, message: Message) -> None:
        snapshot = snapshot_of(key, message)
        found = event_record(snapshot, max_age_days=self._max_age_days)
        if found is None:
            return
        self._usage.apply(snapshot)
        record, video = found
        if not table.put_event(key, message, record):
            return
        status = video["status"] if video else ""
        text = VideoText(text_of(video), status, record.created, event_seq=message.seq)
        self._texts.put(key, text)
        with self._lock:
            self._forecast.apply_event(key, snapshot)

    def _forecast_event(self, key: VideoKey, message: Message) -> None:
        with self._lock:
            self._forecast.apply_event(key, snapshot_of(key, message))

    def _request(self, message: Message) -> ResolvedRequest | None:
        # An invalid request is queued too: `dispatch` will fail it, with the reason.
        with contextlib.suppress(InvalidRequest):
            return read_request(message, self._profile).request
        return None
