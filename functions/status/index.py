"""All videos in memory: a projection of both streams, which a replay can rebuild at any time.

Messages may come in any order and more than once: VIDEOS takes precedence over REQUESTS, a later
message over an earlier one, and a tombstone over everything.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import Final

from functions.shared.api.video_object import queued_video, video_object
from functions.shared.api.video_schema import Video
from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Message
from functions.shared.streams.validation import read_request
from functions.shared.streams.video_state import snapshot_of
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import parse_rfc3339
from functions.shared.video.events import EventName
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import ResolvedRequest
from functions.status.eta.forecast import QueueForecast, QueueLoad
from functions.status.listing.filters import NO_FILTERS, Filters, folded
from functions.status.listing.query import PageOrder, select_page
from functions.status.listing.table import IndexedVideo, SortKey, VideoRecord, VideoTable
from functions.status.listing.time_limit import limited
from functions.status.listing.turns import Turns
from functions.status.usage import UsageByDay
from functions.status.video_answers import VideoAnswers
from functions.status.video_texts import VideoText, VideoTexts, text_of

log = logging.getLogger(__name__)

# How often the memory of expired videos is freed; no answer shows them in the meantime.
EXPIRY_INTERVAL_SECONDS: Final = 3600


@dataclass(frozen=True)
class Page:
    """Some videos of an account.

    Attributes:
        texts: the video objects, as JSON.
        ids: their ids, and those of videos that were deleted while the page was read.
        has_more: whether there are more after them.
    """

    texts: list[bytes]
    ids: list[str]
    has_more: bool

    @property
    def videos(self) -> list[Video]:
        """The video objects."""
        return [json.loads(text) for text in self.texts]


class VideoIndex:
    """Lists of videos, queue positions and ETAs. Safe to use from any thread.

    Attributes:
        answers: single videos.
        usage: what accounts used.
    """

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
            profile: the model's defaults, for requests that leave them out.
            max_age_days: how long the streams keep a video.
            min_replicas: see `QueueForecast`.
            max_in_flight: see `QueueForecast`.
            path: an SQLite file, for a list larger than memory.
        """
        self._profile = profile
        self._max_age_days = max_age_days
        self._turns = Turns()
        self._table = VideoTable(path)
        # Reads of single videos need no turn.
        self._texts = VideoTexts()
        # Lock order: a turn, then this. It is never held during a query, so it is free soon.
        self._forecast_lock = threading.Lock()
        self._forecast = QueueForecast(min_replicas=min_replicas, max_in_flight=max_in_flight)
        self.answers: Final = VideoAnswers(self._texts, self._forecast, self._forecast_lock)
        self.usage: Final = UsageByDay(max_age_days=max_age_days)
        self._expired_at = time.monotonic()

    def clear(self) -> None:
        """Remove everything, before a replay of recreated streams."""
        self._turns.clear(self._clear)

    def apply_request(self, message: Message) -> None:
        """Apply a message of the stream REQUESTS."""
        try:
            key = VideoKey.from_subject(message.subject)
        except InvalidRequest as problem:
            log.warning("ignored a request: %s", problem.message)
            return
        request: ResolvedRequest | None = None
        # An invalid request is queued too: `dispatch` will fail it, with the reason.
        with contextlib.suppress(InvalidRequest):
            request = read_request(message, self._profile).request
        video = queued_video(key.video_id, message.time, request, max_age_days=self._max_age_days)
        record = VideoRecord(message.time, EventName.REQUESTED, video, folded(video["prompt"]))
        text = VideoText(text_of(video), video["status"], message.time, request_seq=message.seq)
        self._texts.put(key, text)

        def put() -> None:
            if self._table.put_request(key, message.seq, record) is EventName.REQUESTED:
                with self._forecast_lock:
                    self._forecast.add_request(key, message, request)

        self._turns.change(put)

    def apply_event(self, message: Message) -> None:
        """Apply a message of the stream VIDEOS."""
        try:
            key = VideoKey.from_subject(message.subject)
        except InvalidRequest as problem:
            log.warning("ignored an event on %s: %s", message.subject, problem.message)
            return
        snapshot = snapshot_of(key, message)
        event = snapshot.name
        if snapshot.queued or event is None:
            return
        created = parse_rfc3339(snapshot.created_at) if snapshot.created_at else message.time
        record, text = VideoRecord(created, event), VideoText(b"", "", created)
        if not snapshot.deleted:
            video = video_object(snapshot, max_age_days=self._max_age_days)
            record = VideoRecord(created, event, video, folded(video["prompt"]))
            text = VideoText(text_of(video), video["status"], created)
        self._texts.put(key, text._replace(event_seq=message.seq))
        self.usage.apply(snapshot)

        def put() -> None:
            if self._table.put_event(key, message.seq, record):
                with self._forecast_lock:
                    self._forecast.apply_event(key, snapshot)

        self._turns.change(put)

    def queue_position(self, key: VideoKey) -> int | None:
        """1 for the video that starts next, and so on; None if it does not wait."""
        with self._forecast_lock:
            return self._forecast.queue_position(key)

    def eta_seconds(self, key: VideoKey, now: int) -> float | None:
        """Seconds until the video is expected to be completed; see `QueueForecast`."""
        with self._forecast_lock:
            return self._forecast.eta_seconds(key, now)

    def size(self) -> int:
        """How many videos it has, deleted ones too."""
        return self._texts.size()

    def queue_load(self) -> QueueLoad:
        """How many videos of each account wait and are made."""
        with self._forecast_lock:
            return self._forecast.load()

    def read_page(
        self,
        account: str,
        *,
        after: str | None,
        limit: int,
        newest_first: bool,
        since: int,
        now: int | None = None,
        filters: Filters = NO_FILTERS,
    ) -> Page:
        """One page of the videos of `account`, sorted by (creation, id).

        Args:
            account: whose videos.
            after: the id of the previous page's last video, even if it has been deleted or no
                longer matches the filters; None for the first page.
            limit: the largest number of videos.
            newest_first: the sort order.
            since: videos created earlier (JetStream's nanoseconds) have expired.
            now: JetStream's time, for `eta_seconds`, which is null without it.
            filters: what the videos must match.

        Raises:
            InvalidRequest: the account has no video `after`, or the filters take too long.
            Unavailable: the account's other searches take too long.
        """
        search = contextlib.nullcontext() if filters == NO_FILTERS else self._turns.search(account)
        filters = replace(filters, created_from=max(since, filters.created_from))
        with search, self._turns.reading():
            self._drop_expired(since)
            cursor = None if after is None else self._cursor(account, after)
            with limited(self._table.db):
                order = PageOrder(newest_first, cursor)
                rows = select_page(self._table, account, filters, order, limit + 1)
            ids = [str(row["id"]) for row in rows[:limit]]
            texts = self.answers.page(account, ids, filters, now)
        return Page(texts, ids, len(rows) > limit)

    def newest_messages(self, since: int) -> list[tuple[VideoKey, IndexedVideo]]:
        """What the index knows of the videos created at `since` or later, deleted ones too."""
        with self._turns.reading():
            return self._table.newest_messages(since)

    def _clear(self) -> None:
        self._table.clear()
        self._texts.clear()
        self.usage.clear()
        with self._forecast_lock:
            self._forecast.clear()

    def _cursor(self, account: str, video_id: str) -> SortKey:
        sort_key = self._table.sort_key(account, video_id)
        if sort_key is None:
            raise InvalidRequest(
                "after must be the id of one of your videos, such as the last one of a page",
                param="after",
            )
        return sort_key

    def _drop_expired(self, since: int) -> None:
        """Delete what has expired: the streams emit no event for it."""
        if time.monotonic() - self._expired_at > EXPIRY_INTERVAL_SECONDS:
            self._expired_at = time.monotonic()
            expired = self._table.delete_older(since)
            self._texts.remove(expired)
            with self._forecast_lock:
                for key in expired:
                    self._forecast.remove(key)
