"""The table behind the list: one row per video, with indexes for filters. Not thread-safe."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from functions.shared.api.video_schema import Video
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName
from functions.status.listing.prompt_index import PromptIndex

# The sort key of the list, and so the cursor of a page: creation, then id.
SortKey = tuple[int, str]

_SCHEMA: Final = """
CREATE TABLE videos (
    row_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    account     TEXT NOT NULL,
    id          TEXT NOT NULL,
    created     INTEGER NOT NULL,  -- JetStream's timestamp, in nanoseconds
    request_seq INTEGER NOT NULL,  -- in REQUESTS; 0 if not seen
    event_seq   INTEGER NOT NULL,  -- in VIDEOS; 0 without an event
    event       TEXT NOT NULL,     -- the newest event's name
    status      TEXT,              -- as in the HTTP API; this and the rest are NULL once deleted
    metadata    TEXT,
    prompt      TEXT,              -- folded
    UNIQUE (account, id)
);
CREATE INDEX by_created ON videos (account, created, id, status) WHERE event != 'deleted';
CREATE INDEX by_status ON videos (account, status, created, id) WHERE event != 'deleted';
CREATE INDEX by_account ON videos (account);
CREATE TABLE metadata_pairs (
    account TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    created INTEGER NOT NULL,
    id      TEXT NOT NULL,
    row_id  INTEGER NOT NULL,
    PRIMARY KEY (account, name, value, created, id)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class VideoRecord:
    """What the table stores about a video.

    Attributes:
        created: JetStream's timestamp of the request, in nanoseconds.
        event: the newest event's name.
        video: the video object; None for a deleted video.
        prompt: the folded prompt; None for a deleted video.
    """

    created: int
    event: EventName
    video: Video | None = None
    prompt: str | None = None

    @property
    def metadata(self) -> str | None:
        """The pairs as canonical JSON: equal text for equal pairs."""
        return json.dumps(self.video["metadata"], sort_keys=True) if self.video else None

    def columns(self) -> tuple[Any, ...]:
        """Values for `created`, `event`, `status`, `metadata` and `prompt`."""
        video = self.video
        return (
            self.created,
            self.event.value,
            video["status"] if video else None,
            self.metadata,
            self.prompt,
        )


@dataclass(frozen=True)
class IndexedVideo:
    """The newest messages of a video that the table has seen; sequence 0 stands for no message."""

    request_seq: int
    event_seq: int
    event: EventName


class VideoTable:
    """Rows by (account, id). Messages may come in any order: stale ones change nothing."""

    def __init__(self, path: str) -> None:
        """Start empty; `path` is an SQLite file, or `:memory:`."""
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.executescript(_SCHEMA)
        self.prompts = PromptIndex(self.db)

    def put_request(self, key: VideoKey, seq: int, record: VideoRecord) -> EventName:
        """Store the request with the sequence `seq`; returns the video's newest event."""
        row = self._find_row(key)
        if row is None:
            self._insert(key, seq, 0, record)
            return record.event
        if row["event_seq"] == 0 and seq >= row["request_seq"]:
            self._replace(key, row, record)
        self.db.execute(
            "UPDATE videos SET request_seq = max(request_seq, ?) WHERE row_id = ?",
            (seq, row["row_id"]),
        )
        return EventName(row["event"])

    def put_event(self, key: VideoKey, seq: int, record: VideoRecord) -> bool:
        """Store the event with the sequence `seq`; returns False if a newer one is stored."""
        row = self._find_row(key)
        if row is None:
            self._insert(key, 0, seq, record)
        elif seq > row["event_seq"]:
            self._replace(key, row, record)
            self.db.execute(
                "UPDATE videos SET event_seq = ? WHERE row_id = ?", (seq, row["row_id"])
            )
        else:
            return False
        return True

    def clear(self) -> None:
        """Delete all rows."""
        self.prompts.clear()
        self.db.executescript("BEGIN; DELETE FROM videos; DELETE FROM metadata_pairs; COMMIT;")

    def sort_key(self, account: str, video_id: str) -> SortKey | None:
        """The sort key of a video, deleted or not; None if there is no such video."""
        # Tombstones count, because the last video of a page may be deleted before the next page.
        row = self.db.execute(
            "SELECT created, id FROM videos WHERE account = ? AND id = ?", (account, video_id)
        ).fetchone()
        return None if row is None else (int(row["created"]), str(row["id"]))

    def newest_messages(self, since: int) -> list[tuple[VideoKey, IndexedVideo]]:
        """The newest messages of all videos that were created at `since` or later."""
        rows = self.db.execute(
            "SELECT account, id, request_seq, event_seq, event FROM videos WHERE created >= ?",
            (since,),
        )
        return [
            (VideoKey(account, video_id), IndexedVideo(request, event, EventName(name)))
            for account, video_id, request, event, name in rows
        ]

    def delete_older(self, since: int) -> list[VideoKey]:
        """Delete the videos created before `since`; returns their keys."""
        rows = self.db.execute("SELECT * FROM videos WHERE created < ?", (since,)).fetchall()
        self.db.execute("BEGIN")
        for row in rows:
            self._delete_pairs(row)
            self.prompts.remove(row["account"], row["row_id"], row["prompt"])
            self.db.execute("DELETE FROM videos WHERE row_id = ?", (row["row_id"],))
        self.db.execute("COMMIT")
        return [VideoKey(row["account"], row["id"]) for row in rows]

    def _find_row(self, key: VideoKey) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self.db.execute(
            "SELECT row_id, account, id, created, request_seq, event_seq, event, metadata, prompt"
            " FROM videos WHERE account = ? AND id = ?",
            (key.account, key.video_id),
        ).fetchone()
        return row

    def _insert(self, key: VideoKey, request_seq: int, event_seq: int, record: VideoRecord) -> None:
        cursor = self.db.execute(
            "INSERT INTO videos (account, id, request_seq, event_seq,"
            " created, event, status, metadata, prompt) VALUES (?,?,?,?,?,?,?,?,?)",
            (key.account, key.video_id, request_seq, event_seq, *record.columns()),
        )
        row_id = int(cursor.lastrowid or 0)
        self._insert_pairs(row_id, key, record)
        self.prompts.row_inserted(key.account, row_id, record.prompt)

    def _replace(self, key: VideoKey, row: sqlite3.Row, record: VideoRecord) -> None:
        # Most events change neither the prompt nor the metadata nor the sort key.
        prompt_changed = record.prompt != row["prompt"]
        pairs_changed = (record.created, record.metadata) != (row["created"], row["metadata"])
        if pairs_changed:
            self._delete_pairs(row)
        if prompt_changed:
            self.prompts.remove(row["account"], row["row_id"], row["prompt"])
        self.db.execute(
            "UPDATE videos SET created = ?, event = ?, status = ?, metadata = ?, prompt = ?"
            " WHERE row_id = ?",
            (*record.columns(), row["row_id"]),
        )
        if pairs_changed:
            self._insert_pairs(row["row_id"], key, record)
        if prompt_changed:
            self.prompts.add(key.account, row["row_id"], record.prompt)

    def _insert_pairs(self, row_id: int, key: VideoKey, record: VideoRecord) -> None:
        if record.video and record.video["metadata"]:
            self.db.executemany(
                "INSERT INTO metadata_pairs VALUES (?,?,?,?,?,?)",
                [
                    (key.account, name, value, record.created, key.video_id, row_id)
                    for name, value in record.video["metadata"].items()
                ],
            )

    def _delete_pairs(self, row: sqlite3.Row) -> None:
        self.db.executemany(
            "DELETE FROM metadata_pairs WHERE account = ? AND name = ? AND value = ?"
            " AND created = ? AND id = ?",
            [
                (row["account"], name, value, row["created"], row["id"])
                for name, value in json.loads(row["metadata"] or "{}").items()
            ],
        )
