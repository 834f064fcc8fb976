"""The list of all videos, in memory: a projection of both streams that can always be made again.

Messages may come in any order and more than once: VIDEOS beats REQUESTS, a later message beats an
earlier one, and a tombstone beats all.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
import time
from dataclasses import dataclass, replace
from typing import Final

from functions.shared.api.video_object import queued_video, video_object
from functions.shared.api.video_schema import Video
from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Message
from functions.shared.streams.ledger import snapshot_of
from functions.shared.streams.validation import read_request
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import parse_rfc3339
from functions.shared.video.events import EventName
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import ResolvedRequest
from functions.status.filters import ALL, Filters, folded
from functions.status.query import Order, find
from functions.status.schedule import Schedule
from functions.status.table import Content, Table

log = logging.getLogger(__name__)

# Expired videos are left out of every answer; their memory is freed this often.
TIDY_SECONDS: Final = 3600


@dataclass(frozen=True)
class Page:
    """Some videos of an account, and whether there are more after them."""

    videos: list[Video]
    has_more: bool


class Index:
    """Answers what one subject can't: lists, and places in the queue. Safe from any thread."""

    def __init__(
        self,
        profile: Profile,
        *,
        max_age_days: int,
        min_replicas: int = 1,
        max_in_flight: int = 1,
        path: str = ":memory:",
    ) -> None:
        """Start empty.

        Args:
            profile: what fills in the defaults of requests.
            max_age_days: how long the streams keep a video.
            min_replicas: workers that are always there; see `Schedule`.
            max_in_flight: videos that are made at a time, at most.
            path: a file of SQLite's, for a list larger than memory.
        """
        self._profile = profile
        self._max_age_days = max_age_days
        self._lock = threading.Lock()
        self._table = Table(path)
        self._schedule = Schedule(min_replicas=min_replicas, max_in_flight=max_in_flight)
        self._tidied = time.monotonic()

    def clear(self) -> None:
        """Forget everything: what was applied before is no longer so."""
        with self._lock:
            self._table.clear()
            self._schedule.clear()

    def apply_request(self, message: Message) -> None:
        """Take a message of the stream REQUESTS into account."""
        try:
            key = VideoKey.from_subject(message.subject)
        except InvalidRequest as problem:
            log.warning("passed over: %s", problem.message)
            return
        request: ResolvedRequest | None = None
        # One that is not valid is queued too: `dispatch` will fail it, with the reason.
        with contextlib.suppress(InvalidRequest):
            request = read_request(message, self._profile).request
        video = queued_video(key.video_id, message.time, request, max_age_days=self._max_age_days)
        content = Content(message.time, EventName.REQUESTED, video, folded(video["prompt"]))
        with self._lock:
            if self._table.put_request(key, message.seq, content) is EventName.REQUESTED:
                self._schedule.wait(key, message, request)

    def apply_event(self, message: Message) -> None:
        """Take a message of the stream VIDEOS into account."""
        try:
            key = VideoKey.from_subject(message.subject)
        except InvalidRequest as problem:
            log.warning("passed over %s: %s", message.subject, problem.message)
            return
        snapshot = snapshot_of(key, message)
        name = snapshot.name
        if snapshot.queued or name is None:
            return
        created = parse_rfc3339(snapshot.created_at) if snapshot.created_at else message.time
        content = Content(created, name)
        if not snapshot.deleted:
            video = video_object(snapshot, max_age_days=self._max_age_days)
            content = Content(created, name, video, folded(video["prompt"]))
        with self._lock:
            if self._table.put_event(key, message.seq, content):
                self._schedule.follow(key, snapshot)

    def queue_position(self, key: VideoKey) -> int | None:
        """1 for the video that starts next, and so on; None if it is not waiting."""
        with self._lock:
            return self._schedule.position(key)

    def eta(self, key: VideoKey, now: int) -> float | None:
        """Seconds until the video is expected to be done, as `Schedule` has it."""
        with self._lock:
            return self._schedule.eta(key, now)

    def page(
        self,
        account: str,
        *,
        after: str | None,
        limit: int,
        newest_first: bool,
        since: int,
        filters: Filters = ALL,
    ) -> Page:
        """Videos of `account` by (creation, id), from the one after `after` on.

        Args:
            account: whose videos.
            after: the id of the last video of the page before, deleted ones and such that no longer
                fulfil the filters included.
            limit: how many at most.
            newest_first: the order.
            since: videos created earlier (JetStream's nanoseconds) have expired.
            filters: what the videos must fulfil.

        Raises:
            InvalidRequest: there is no video `after`.
        """
        filters = replace(filters, created_from=max(since, filters.created_from))
        with self._lock:
            self._forget_expired(since)
            place = None if after is None else self._place(account, after)
            order = Order(newest_first, place)
            rows = find(self._table, account, filters, order, limit + 1)
            videos = [self._shown(account, row) for row in rows[:limit]]
        return Page(videos, len(rows) > limit)

    def _shown(self, account: str, row: sqlite3.Row) -> Video:
        video: Video = json.loads(row["object"])
        video["queue_position"] = self._schedule.position(VideoKey(account, row["id"]))
        return video

    def _place(self, account: str, video_id: str) -> tuple[int, str]:
        place = self._table.place(account, video_id)
        if place is None:
            raise InvalidRequest(
                "after must be the id of one of your videos, such as the last one of a page",
                param="after",
            )
        return place

    def _forget_expired(self, since: int) -> None:
        """Drop what the streams have dropped, which they do without a word."""
        if time.monotonic() - self._tidied > TIDY_SECONDS:
            self._tidied = time.monotonic()
            for key in self._table.forget(since):
                self._schedule.leave(key)
