"""Reads of the table, each in the state of one moment, on a connection of its own."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from functions.shared.streams.bus import Message
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName
from functions.status.listing.filters import Filters
from functions.status.listing.query import PageOrder, select_page
from functions.status.listing.schema import SortKey
from functions.status.listing.time_limit import limited


@dataclass(frozen=True)
class IndexedVideo:
    """The newest messages of a video that the table has seen; sequence 0 stands for no message."""

    key: VideoKey
    created: int
    request_seq: int
    event_seq: int
    event: EventName

    @property
    def subject(self) -> str:
        """The subject of the message that tells the video's state."""
        return self.key.event_subject(self.event) if self.event_seq else self.key.request_subject


class Reader:
    """Reads with one connection. For one thread."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Read with `db`."""
        self._db = db

    def select_page(
        self, account: str, filters: Filters, order: PageOrder, limit: int
    ) -> list[sqlite3.Row]:
        """See `query.select_page`.

        Raises:
            SearchTooBroad: it takes too long.
        """
        with limited(self._db):
            return select_page(self._db, account, filters, order, limit)

    def sort_key(self, account: str, video_id: str) -> SortKey | None:
        """The sort key of a video, deleted or not; None if there is no such video."""
        # Tombstones count, because the last video of a page may be deleted before the next page.
        row = self._db.execute(
            "SELECT created, id FROM videos WHERE account = ? AND id = ?", (account, video_id)
        ).fetchone()
        return None if row is None else (int(row["created"]), str(row["id"]))

    def video(self, key: VideoKey) -> tuple[IndexedVideo, Message] | None:
        """A video and the message that tells its state; None if there is no such video."""
        return next(self._videos("v.account = ? AND v.id = ?", key.account, key.video_id), None)

    def video_in_row(self, row_id: int) -> tuple[IndexedVideo, Message]:
        """As `video`, of a row that there is."""
        return next(self._videos("v.row_id = ?", row_id))

    def unfinished(self) -> Iterator[tuple[IndexedVideo, Message]]:
        """The videos that wait or run."""
        return self._videos("v.event IN ('requested', 'started', 'progressed')")

    def last_ended(self, limit: int) -> list[tuple[IndexedVideo, Message]]:
        """The videos with the newest terminal events, at most `limit`, in the order of these."""
        rows = "SELECT row_id FROM videos WHERE event IN ('completed', 'failed', 'cancelled')"
        found = self._videos(f"v.row_id IN ({rows} ORDER BY event_seq DESC LIMIT ?)", limit)
        return sorted(found, key=lambda one: one[0].event_seq)

    def counts(self, since: int) -> dict[EventName, int]:
        """How many videos created at `since` or later are in the state of each event."""
        rows = self._db.execute(
            "SELECT event, count(*) FROM videos WHERE created >= ? GROUP BY event", (since,)
        )
        return {EventName(name): count for name, count in rows}

    def not_among(
        self, subjects: list[str], event: EventName, since: int
    ) -> Iterator[IndexedVideo]:
        """The videos in the state of `event` whose message is on none of `subjects`.

        Of those that were created at `since` or later.
        """
        asked = event is EventName.REQUESTED
        before, after = ("kinora.requests.", "") if asked else ("kinora.videos.", f".{event}")
        # One statement, so that callers need not wait for Python's lock in the meantime.
        rows = self._db.execute(
            "SELECT * FROM videos WHERE event = ? AND created >= ?"
            " AND ? || account || '.' || id || ? NOT IN (SELECT value FROM json_each(?))",
            (event.value, since, before, after, json.dumps(subjects)),
        )
        return map(_indexed_video, rows)

    def expired(self, since: int) -> list[int]:
        """The `row_id` of the videos created before `since`."""
        rows = self._db.execute("SELECT row_id FROM videos WHERE created < ?", (since,))
        return [row_id for (row_id,) in rows]

    def _videos(self, where: str, *values: object) -> Iterator[tuple[IndexedVideo, Message]]:
        rows = self._db.execute(
            "SELECT v.*, m.time, m.headers, m.data FROM videos AS v"  # noqa: S608 - of constants
            f" JOIN messages AS m ON m.row_id = v.row_id WHERE {where}",
            values,
        )
        for row in rows:
            video = _indexed_video(row)
            headers = json.loads(row["headers"] or "{}")
            seq = video.event_seq or video.request_seq
            yield video, Message(video.subject, seq, row["time"], row["data"], headers)


def _indexed_video(row: sqlite3.Row) -> IndexedVideo:
    """The video in a row of `videos`."""
    return IndexedVideo(
        VideoKey(row["account"], row["id"]),
        row["created"],
        row["request_seq"],
        row["event_seq"],
        EventName(row["event"]),
    )
