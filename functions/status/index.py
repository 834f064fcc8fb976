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
from dataclasses import dataclass
from typing import Any, Final

from functions.shared.bus import Message
from functions.shared.errors import InvalidRequest
from functions.shared.ledger import snapshot_of
from functions.shared.profiles import Profile
from functions.shared.requested import read_request
from functions.shared.requests import ResolvedRequest
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import parse_rfc3339
from functions.shared.video_object import queued_video, video_object
from functions.shared.videos import EventName

log = logging.getLogger(__name__)

# Expired videos are left out of every answer; their memory is freed this often.
TIDY_SECONDS: Final = 3600

_SCHEMA: Final = """
CREATE TABLE videos (
    account     TEXT NOT NULL,
    id          TEXT NOT NULL,
    created     INTEGER NOT NULL,            -- JetStream's, in nanoseconds
    request_seq INTEGER NOT NULL DEFAULT 0,  -- in REQUESTS; 0: not seen
    event_seq   INTEGER NOT NULL DEFAULT 0,  -- in VIDEOS; 0: none yet
    name        TEXT NOT NULL,               -- of the newest event
    object      TEXT,                        -- the video object; absent after a deletion
    PRIMARY KEY (account, id)
) WITHOUT ROWID;
CREATE INDEX newest ON videos (account, created, id) WHERE name != 'deleted';
CREATE INDEX queue ON videos (request_seq) WHERE name = 'requested';
"""

# A tombstone keeps its place, because a caller may page on from a video that was just deleted.
_FROM_REQUESTS: Final = """
INSERT INTO videos (account, id, created, request_seq, name, object)
VALUES (:account, :id, :created, :seq, 'requested', :object)
ON CONFLICT DO UPDATE SET
    request_seq = max(request_seq, :seq),
    created     = CASE WHEN event_seq = 0 THEN :created ELSE created END,
    object      = CASE WHEN event_seq = 0 THEN :object ELSE object END
"""
_FROM_VIDEOS: Final = """
INSERT INTO videos (account, id, created, event_seq, name, object)
VALUES (:account, :id, :created, :seq, :name, :object)
ON CONFLICT DO UPDATE SET
    created = :created, event_seq = :seq, name = :name, object = :object
WHERE :seq > event_seq
"""


@dataclass(frozen=True)
class Page:
    """Some videos of an account, and whether there are more after them."""

    videos: list[dict[str, Any]]
    has_more: bool


class Index:
    """Answers what one subject can't: lists, and places in the queue. Safe from any thread."""

    def __init__(self, profile: Profile, *, max_age_days: int, path: str = ":memory:") -> None:
        """Start empty; `path` is a file of SQLite's, for a list larger than memory."""
        self._profile = profile
        self._max_age_days = max_age_days
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._tidied = time.monotonic()

    def clear(self) -> None:
        """Forget everything: what was applied before is no longer so."""
        with self._lock:
            self._db.execute("DELETE FROM videos")

    def apply_request(self, message: Message) -> None:
        """Take a message of the stream REQUESTS into account."""
        try:
            key = VideoKey.of_subject(message.subject)
        except InvalidRequest as problem:
            log.warning("passed over: %s", problem.message)
            return
        request: ResolvedRequest | None = None
        # One that is not valid is queued too: `dispatch` will fail it, with the reason.
        with contextlib.suppress(InvalidRequest):
            request = read_request(message, self._profile).request
        video = queued_video(key.video_id, message.time, request, max_age_days=self._max_age_days)
        values = {"created": message.time, "object": json.dumps(video)}
        self._write(_FROM_REQUESTS, key, {**values, "seq": message.seq})

    def apply_event(self, message: Message) -> None:
        """Take a message of the stream VIDEOS into account."""
        try:
            key = VideoKey.of_subject(message.subject)
        except InvalidRequest as problem:
            log.warning("passed over %s: %s", message.subject, problem.message)
            return
        snapshot = snapshot_of(key, message)
        if snapshot.name is None:
            return
        created = parse_rfc3339(snapshot.created_at) if snapshot.created_at else message.time
        video = None
        if not snapshot.deleted:
            video = json.dumps(video_object(snapshot, max_age_days=self._max_age_days))
        values = {"created": created, "name": snapshot.name, "object": video}
        self._write(_FROM_VIDEOS, key, {**values, "seq": message.seq})

    def _write(self, statement: str, key: VideoKey, values: dict[str, Any]) -> None:
        with self._lock:
            self._db.execute(statement, {"account": key.account, "id": key.video_id, **values})

    def queue_position(self, key: VideoKey) -> int | None:
        """1 for the video that runs next, and so on; None if it is not waiting."""
        with self._lock:
            row = self._db.execute(
                "SELECT (SELECT count(*) FROM videos AS v WHERE v.name = 'requested'"
                " AND v.request_seq <= own.request_seq) FROM videos AS own"
                " WHERE account = ? AND id = ? AND name = 'requested'",
                (key.account, key.video_id),
            ).fetchone()
        return None if row is None else int(row[0])

    def page(
        self, account: str, *, after: str | None, limit: int, newest_first: bool, since: int
    ) -> Page:
        """Videos of `account` by (creation, id), from the one after `after` on.

        Args:
            account: whose videos.
            after: the id of the last video of the page before, deleted ones included.
            limit: how many at most.
            newest_first: the order.
            since: videos created earlier (JetStream's nanoseconds) have expired.

        Raises:
            InvalidRequest: there is no video `after`.
        """
        order, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
        where, values = "account = ? AND name != 'deleted' AND created >= ?", [account, since]
        with self._lock:
            self._forget_expired(since)
            if after is not None:
                where += f" AND (created, id) {beyond} (?, ?)"
                values += self._place(account, after)
            rows = self._db.execute(
                f"SELECT id, name, object FROM videos WHERE {where}"  # noqa: S608 - of constants
                f" ORDER BY created {order}, id {order} LIMIT ?",
                (*values, limit + 1),
            ).fetchall()
        videos = [json.loads(row[2]) for row in rows[:limit]]
        for video, row in zip(videos, rows, strict=False):
            if row[1] == EventName.REQUESTED:
                video["queue_position"] = self.queue_position(VideoKey(account, row[0]))
        return Page(videos, len(rows) > limit)

    def _place(self, account: str, video_id: str) -> tuple[int, str]:
        row = self._db.execute(
            "SELECT created, id FROM videos WHERE account = ? AND id = ?", (account, video_id)
        ).fetchone()
        if row is None:
            raise InvalidRequest(
                "after must be the id of one of your videos, such as the last one of a page",
                param="after",
            )
        return int(row[0]), str(row[1])

    def _forget_expired(self, since: int) -> None:
        """Drop what the streams have dropped, which they do without a word."""
        if time.monotonic() - self._tidied > TIDY_SECONDS:
            self._tidied = time.monotonic()
            self._db.execute("DELETE FROM videos WHERE created < ?", (since,))
