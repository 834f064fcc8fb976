"""Videos as they are answered: texts, with what of them changes without an event."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable

from functions.shared.streams.bus import Message
from functions.shared.subjects import VideoKey
from functions.shared.video.events import State
from functions.status.eta.forecast import QueueForecast
from functions.status.listing.reader import IndexedVideo, Reader
from functions.status.listing.table import VideoTable
from functions.status.video_texts import VideoText, VideoTexts


class VideoAnswers:
    """Answers from the table of an index and its forecast. Safe to use from any thread."""

    def __init__(
        self,
        table: Callable[[], VideoTable],
        texts: VideoTexts,
        text_of_message: Callable[[IndexedVideo, Message], VideoText],
        forecast: QueueForecast,
        lock: threading.Lock,
    ) -> None:
        """Answer from `table`, and from `forecast` while holding `lock`.

        `texts` is what `text_of_message` returned for the videos that were used last.
        """
        self._table = table
        self._texts = texts
        self._text_of_message = text_of_message
        self._forecast = forecast
        self._lock = lock

    def has(self, key: VideoKey) -> bool:
        """Whether the index has a video, which was not deleted."""
        video = self._find(key)
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
        video = self._find(key)
        if video is None or not video.text or video.created < since:
            return None
        if not video.unfinished:
            return video.text
        with self._lock:
            return self._filled(key, video, now)

    def page(
        self,
        reader: Reader,
        account: str,
        rows: list[sqlite3.Row],
        *,
        changes: int,
        now: int | None,
    ) -> list[bytes]:
        """Videos as JSON.

        Args:
            reader: what selected them.
            account: whose they are.
            rows: of each, one of `Reader.select_page`.
            changes: what `VideoTexts.changes` was before `reader` began.
            now: JetStream's time, for `eta_seconds`, which is null without it.
        """
        videos = []
        for row in rows:
            key = VideoKey(account, row["id"])
            video = self._texts.get(key)
            # As the reader sees it, whatever came since: so the page is of one moment.
            if video is None or not _is_of(video, row):
                video = self._text_of_message(*reader.video_in_row(row["row_id"]))
                self._texts.keep(key, video, changes)
            videos.append((key, video))
        with self._lock:
            return [
                self._filled(key, video, now) if video.unfinished else video.text
                for key, video in videos
            ]

    def _find(self, key: VideoKey) -> VideoText | None:
        video = self._texts.get(key)
        if video is not None:
            return video
        changes = self._texts.changes
        with self._table().database.reading() as db:
            found = Reader(db).video(key)
        if found is None:
            return None
        video = self._text_of_message(*found)
        self._texts.keep(key, video, changes)
        return video

    def _filled(self, key: VideoKey, video: VideoText, now: int | None) -> bytes:
        queued = video.status == State.QUEUED
        return video.filled(
            None if now is None else self._forecast.eta_seconds(key, now),
            self._forecast.place(key) if queued else None,
        )


def _is_of(video: VideoText, row: sqlite3.Row) -> bool:
    """Whether `video` is the text of the message that tells the state in `row`."""
    if row["event_seq"]:
        return bool(video.event_seq == row["event_seq"])
    return bool(video.request_seq == row["request_seq"])
