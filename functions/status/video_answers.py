"""Videos as they are answered: stored texts, with what of them changes without an event."""

from __future__ import annotations

import threading

from functions.shared.subjects import VideoKey
from functions.shared.video.events import State
from functions.status.eta.forecast import QueueForecast
from functions.status.listing.filters import Filters
from functions.status.video_texts import VideoText, VideoTexts


class VideoAnswers:
    """Answers from the texts of an index and its forecast. Safe to use from any thread."""

    def __init__(self, texts: VideoTexts, forecast: QueueForecast, lock: threading.Lock) -> None:
        """Answer from `texts`, and from `forecast` while holding `lock`."""
        self._texts = texts
        self._forecast = forecast
        self._lock = lock

    def has(self, key: VideoKey) -> bool:
        """Whether the index has a video, which was not deleted."""
        video = self._texts.get(key.account, key.video_id)
        return video is not None and bool(video.text)

    def video(self, key: VideoKey, *, now: int, since: int) -> bytes | None:
        """A video as JSON.

        Args:
            key: which video.
            now: JetStream's time, for `eta_seconds`.
            since: videos created earlier have expired.

        Returns:
            The video object; None if the index has none, because it is not known, was deleted or
            has expired.
        """
        video = self._texts.get(key.account, key.video_id)
        if video is None or not video.text or video.created < since:
            return None
        if not video.unfinished:
            return video.text
        with self._lock:
            return self._filled(key, video, now)

    def page(self, account: str, ids: list[str], filters: Filters, now: int | None) -> list[bytes]:
        """Those of the videos `ids` that still match, as JSON; without `now`, ETAs are null."""
        found = [(name, self._texts.get(account, name)) for name in ids]
        texts = []
        with self._lock:
            for name, video in found:
                # An event that came after the query may have deleted it, or changed its status.
                if video is None or not video.text or not filters.allow(video.status):
                    continue
                key = VideoKey(account, name) if video.unfinished else None
                texts.append(video.text if key is None else self._filled(key, video, now))
        return texts

    def _filled(self, key: VideoKey, video: VideoText, now: int | None) -> bytes:
        queued = video.status == State.QUEUED
        return video.filled(
            None if now is None else self._forecast.eta_seconds(key, now),
            self._forecast.queue_position(key) if queued else None,
        )
