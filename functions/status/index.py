"""All videos: a projection of both streams, which a replay can rebuild at any time.

Messages may come in any order and more than once: VIDEOS takes precedence over REQUESTS, a later
message over an earlier one, and a tombstone over everything.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from functions.shared.api.video_schema import Video
from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Message, StreamEnd
from functions.shared.streams.queue_state import parse_queue_state
from functions.shared.subjects import VideoKey
from functions.shared.video.fairness import Limits
from functions.shared.video.profiles import Profile
from functions.status.eta.forecast import Place, QueueForecast, QueueLoad
from functions.status.listing.bulk import BulkLoad
from functions.status.listing.filters import NO_FILTERS, Filters
from functions.status.listing.query import PageOrder
from functions.status.listing.reader import Reader
from functions.status.listing.schema import SortKey
from functions.status.listing.table import VideoTable
from functions.status.listing.turns import Turns
from functions.status.live_changes import LiveChanges
from functions.status.usage import UsageByDay
from functions.status.video_answers import VideoAnswers
from functions.status.video_texts import VideoTexts

# How often the space of expired videos is freed; no answer shows them in the meantime.
EXPIRY_INTERVAL_SECONDS: Final = 3600
# Rows that are deleted at a time, so that a message from NATS waits for milliseconds.
EXPIRED_ROWS: Final = 100


@dataclass(frozen=True)
class Page:
    """Some videos of an account.

    Attributes:
        texts: the video objects, as JSON.
        ids: their ids.
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
        limits: Callable[[str], Limits] = lambda _: Limits(),
        cache_bytes: int = 1 << 20,
    ) -> None:
        """Start empty.

        Args:
            profile: the model's defaults, for requests that leave them out.
            max_age_days: how long the streams keep a video.
            min_replicas: see `QueueForecast`.
            max_in_flight: see `QueueForecast`.
            limits: see `QueueForecast`.
            cache_bytes: of the videos that were read or changed last; the others are on disk.
        """
        self._profile = profile
        self._max_age_days = max_age_days
        self._turns = Turns()
        # Lock order: this, then that of the forecast. Messages are applied one at a time.
        self._writing = threading.Lock()
        self._table = VideoTable.empty()
        self._bulk: BulkLoad | None = None
        self._building = False
        self._texts = VideoTexts(cache_bytes)
        # It is never held during a query, so it is free soon.
        self._forecast_lock = threading.Lock()
        self._forecast = QueueForecast(
            min_replicas=min_replicas, max_in_flight=max_in_flight, limits=limits
        )
        self.usage: Final = UsageByDay(max_age_days=max_age_days)
        self._live = LiveChanges(
            profile,
            self._texts,
            self._forecast,
            self._forecast_lock,
            self.usage,
            max_age_days=max_age_days,
        )
        self.answers: Final = VideoAnswers(
            lambda: self._table,
            self._texts,
            self._live.text_of_message,
            self._forecast,
            self._forecast_lock,
        )
        self._expired_at = time.monotonic()

    def begin_replay(self) -> None:
        """Remove everything, before a replay of both streams: all of VIDEOS, then of REQUESTS.

        Until `finish_replay`, nothing that is applied shows.
        """
        with self._writing:
            self._bulk = BulkLoad(self._profile, self.usage, max_age_days=self._max_age_days)
            self._building = False
            self._table = VideoTable.empty()
            self._texts.clear()
            self.usage.clear()
            with self._forecast_lock:
                self._forecast.clear()

    def has_all_requests(self, end: StreamEnd) -> bool:
        """Whether the replay has told of each video whose request is in a stream with this `end`.

        Raises:
            sqlite3.Error: see `finish_replay`.
        """
        with self._writing:
            if self._bulk is None:
                return True
            self._bulk.write(self._bulk.take())
            return self._bulk.videos_requested(end) == end.messages

    def finish_replay(self) -> None:
        """Show everything that was applied since `begin_replay`.

        Raises:
            sqlite3.Error: the table can't be written, for example because the disk is full.
        """
        with self._writing:
            bulk = self._bulk
            if bulk is None:
                return
            # From now on, whoever applies a message leaves it to this thread.
            self._building = True
        bulk.write(bulk.take())
        table = bulk.build()
        with table.database.reading() as db:
            self._live.build_forecast(Reader(db))
        with self._writing:
            self._table, self._bulk = table, None
            for message in bulk.take():
                self._live.apply(table, message)

    def apply(self, message: Message) -> None:
        """Apply a message of either stream.

        Raises:
            sqlite3.Error: the table can't be written; what it has is not complete any more.
        """
        with self._writing:
            if self._bulk is None:
                self._live.apply(self._table, message)
            # While the table is built, messages wait.
            elif self._bulk.add(message) and not self._building:
                self._bulk.write(self._bulk.take())

    def apply_request(self, message: Message) -> None:
        """Apply a message of the stream REQUESTS; see `apply`."""
        self.apply(message)

    def apply_event(self, message: Message) -> None:
        """Apply a message of the stream VIDEOS; see `apply`."""
        self.apply(message)

    def apply_state(self, message: Message) -> None:
        """Apply the message of the stream QUEUE."""
        state = parse_queue_state(message)
        with self._forecast_lock:
            self._forecast.apply_state(state)

    def queue_position(self, key: VideoKey) -> int | None:
        """1 for the video that starts next, and so on; None if it does not wait."""
        place = self.place(key)
        return None if place is None else place.position

    def place(self, key: VideoKey) -> Place | None:
        """Where a video is in the queue; None if it does not wait."""
        with self._forecast_lock:
            return self._forecast.place(key)

    def eta_seconds(self, key: VideoKey, now: int) -> float | None:
        """Seconds until the video is expected to be completed; see `QueueForecast`."""
        with self._forecast_lock:
            return self._forecast.eta_seconds(key, now)

    def size(self) -> int:
        """How many videos it has, deleted ones too."""
        return self._table.size

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
        self._drop_expired(since)
        search = contextlib.nullcontext() if filters == NO_FILTERS else self._turns.search(account)
        filters = replace(filters, created_from=max(since, filters.created_from))
        changes = self._texts.changes
        with search, self.reading() as reader:
            cursor = None if after is None else _cursor(reader, account, after)
            order = PageOrder(newest_first, cursor)
            rows = reader.select_page(account, filters, order, limit + 1)
            texts = self.answers.page(reader, account, rows[:limit], changes=changes, now=now)
        return Page(texts, [str(row["id"]) for row in rows[:limit]], len(rows) > limit)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reader]:
        """Reads the state of one moment, whatever comes meanwhile."""
        with self._table.database.reading() as db:
            yield Reader(db)

    def _drop_expired(self, since: int) -> None:
        """Delete what has expired: the streams emit no event for it."""
        if time.monotonic() - self._expired_at < EXPIRY_INTERVAL_SECONDS:
            return
        self._expired_at = time.monotonic()
        table = self._table
        with self.reading() as reader:
            rows = reader.expired(since)
        for first in range(0, len(rows), EXPIRED_ROWS):
            with self._writing:
                # Nothing of another replay.
                if table is not self._table:
                    return
                expired = table.delete(rows[first : first + EXPIRED_ROWS])
                for key in expired:
                    self._texts.put(key, None)
            with self._forecast_lock:
                for key in expired:
                    self._forecast.remove(key)


def _cursor(reader: Reader, account: str, video_id: str) -> SortKey:
    sort_key = reader.sort_key(account, video_id)
    if sort_key is None:
        raise InvalidRequest(
            "after must be the id of one of your videos, such as the last one of a page",
            param="after",
        )
    return sort_key
