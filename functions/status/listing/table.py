"""The table behind the list: one row per video, with indexes for filters; writes to it.

A row has what lists are filtered and sorted by. The video itself is its newest message, as NATS
has it, in a table of its own: it is parsed when it is read, so that a replay need not. For one
thread at a time; readers have connections of their own.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from functions.shared.streams.bus import Message
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName
from functions.status.listing.database import Database
from functions.status.listing.prompt_index import PROMPTS_SCHEMA, PromptIndex

# The sort key of the list, and so the cursor of a page: creation, then id.
SortKey = tuple[int, str]

SCHEMA: Final = """
CREATE TABLE videos (
    row_id      INTEGER PRIMARY KEY,  -- never used again
    account     TEXT NOT NULL,
    id          TEXT NOT NULL,
    created     INTEGER NOT NULL,  -- JetStream's timestamp, in nanoseconds
    request_seq INTEGER NOT NULL,  -- in REQUESTS; 0 if not seen
    event_seq   INTEGER NOT NULL,  -- in VIDEOS; 0 without an event
    event       TEXT NOT NULL,     -- the newest event's name
    status      TEXT,              -- as in the HTTP API; this and the rest are NULL once deleted
    metadata    TEXT,              -- JSON
    prompt      TEXT,              -- folded
    UNIQUE (account, id)
);
CREATE TABLE messages (
    row_id  INTEGER PRIMARY KEY,
    time    INTEGER NOT NULL,  -- JetStream's timestamp, in nanoseconds
    headers TEXT,              -- JSON; NULL if they say nothing about the data
    data    BLOB NOT NULL
);
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
# Of a full table they are created in a fraction of the time that they take row by row.
INDEXES: Final = (
    "CREATE INDEX by_created ON videos (account, created, id, status) WHERE event != 'deleted'",
    "CREATE INDEX by_status ON videos (account, status, created, id) WHERE event != 'deleted'",
    "CREATE INDEX by_account ON videos (account)",
)
INSERT_VIDEO: Final = (
    "INSERT INTO videos (row_id, account, id, request_seq, event_seq,"
    " created, event, status, metadata, prompt) VALUES (?,?,?,?,?,?,?,?,?,?)"
)
UPDATE_VIDEO: Final = (
    "UPDATE videos SET request_seq = max(request_seq, ?), event_seq = max(event_seq, ?),"
    " created = ?, event = ?, status = ?, metadata = ?, prompt = ?"
    " WHERE row_id = ?"
)
SEE_REQUEST: Final = "UPDATE videos SET request_seq = max(request_seq, ?) WHERE row_id = ?"
PUT_MESSAGE: Final = "INSERT OR REPLACE INTO messages VALUES (?,?,?,?)"


class VideoRecord(NamedTuple):
    """What the table stores about a video.

    Attributes:
        created: JetStream's timestamp of the request, in nanoseconds.
        event: the newest event's name.
        status: as in the HTTP API; None for a deleted video.
        metadata: its pairs; None for a deleted video.
        prompt: the folded prompt; None for a deleted video.
    """

    created: int
    event: EventName
    status: str | None = None
    metadata: dict[str, str] | None = None
    prompt: str | None = None

    def columns(self) -> tuple[Any, ...]:
        """Values for `created`, `event`, `status`, `metadata` and `prompt`."""
        pairs = to_json(self.metadata).decode() if self.metadata else None
        return self.created, self.event.value, self.status, pairs, self.prompt


def telling_headers(message: Message) -> dict[str, str]:
    """The headers without which the data can't be read; most messages have only NATS's own."""
    return {
        name: value
        for name, value in message.headers.items()
        if name[:5] != "Nats-" and (name[:3].lower() == "ce-" or name.lower() == "content-type")
    }


def message_columns(row_id: int, message: Message) -> tuple[Any, ...]:
    """Values for `messages`."""
    headers = telling_headers(message)
    return row_id, message.time, json.dumps(headers) if headers else None, message.data


class VideoTable:
    """Rows by (account, id). Messages may come in any order: stale ones change nothing.

    Attributes:
        database: connections for readers.
        db: the writer.
    """

    def __init__(self, database: Database, last_row: int = 0) -> None:
        """Write to `database`, which has the schema; `last_row` is the largest `row_id`."""
        self.database: Final = database
        self.db: Final = database.writer
        self.prompts: Final = PromptIndex(self.db)
        self._last_row = last_row

    @classmethod
    def empty(cls) -> VideoTable:
        """A table without rows, which readers may read."""
        database = Database()
        database.writer.executescript(";".join((SCHEMA, PROMPTS_SCHEMA, *INDEXES)))
        database.admit_readers()
        return cls(database)

    def put_request(self, key: VideoKey, message: Message, record: VideoRecord) -> bool:
        """Store a message of REQUESTS; returns False if a newer one, or an event, is stored."""
        seq = message.seq
        with self._transaction():
            row = self._find_row(key)
            if row is None:
                self._insert(key, (seq, 0), message, record)
            elif row["event_seq"] == 0 and seq >= row["request_seq"]:
                self._replace(key, row, (seq, 0), message, record)
            else:
                self.db.execute(SEE_REQUEST, (seq, row["row_id"]))
                return False
        return True

    def put_event(self, key: VideoKey, message: Message, record: VideoRecord) -> bool:
        """Store a message of VIDEOS; returns False if a newer one is stored."""
        seq = message.seq
        with self._transaction():
            row = self._find_row(key)
            if row is None:
                self._insert(key, (0, seq), message, record)
            elif seq > row["event_seq"]:
                self._replace(key, row, (0, seq), message, record)
            else:
                return False
        return True

    def delete(self, rows: list[int]) -> list[VideoKey]:
        """Delete rows; returns the keys of those that there were."""
        keys = []
        with self._transaction():
            for row_id in rows:
                row = self.db.execute("SELECT * FROM videos WHERE row_id = ?", (row_id,)).fetchone()
                if row is None:
                    continue
                self._delete_pairs(row)
                self.prompts.remove(row["account"], row_id, row["prompt"])
                self.db.execute("DELETE FROM videos WHERE row_id = ?", (row_id,))
                self.db.execute("DELETE FROM messages WHERE row_id = ?", (row_id,))
                keys.append(VideoKey(row["account"], row["id"]))
        return keys

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def _find_row(self, key: VideoKey) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self.db.execute(
            "SELECT row_id, account, id, created, request_seq, event_seq, event, metadata, prompt"
            " FROM videos WHERE account = ? AND id = ?",
            (key.account, key.video_id),
        ).fetchone()
        return row

    def _insert(
        self, key: VideoKey, sequences: tuple[int, int], message: Message, record: VideoRecord
    ) -> None:
        self._last_row += 1
        row_id = self._last_row
        values = (row_id, key.account, key.video_id, *sequences, *record.columns())
        self.db.execute(INSERT_VIDEO, values)
        self.db.execute(PUT_MESSAGE, message_columns(row_id, message))
        self._insert_pairs(row_id, key, record)
        self.prompts.row_inserted(key.account, row_id, record.prompt)

    def _replace(
        self,
        key: VideoKey,
        row: sqlite3.Row,
        sequences: tuple[int, int],
        message: Message,
        record: VideoRecord,
    ) -> None:
        # Most events change neither the prompt nor the metadata nor the sort key.
        prompt_changed = record.prompt != row["prompt"]
        pairs_changed = (record.created, record.metadata or {}) != (row["created"], _pairs(row))
        if pairs_changed:
            self._delete_pairs(row)
        if prompt_changed:
            self.prompts.remove(row["account"], row["row_id"], row["prompt"])
        self.db.execute(UPDATE_VIDEO, (*sequences, *record.columns(), row["row_id"]))
        self.db.execute(PUT_MESSAGE, message_columns(row["row_id"], message))
        if pairs_changed:
            self._insert_pairs(row["row_id"], key, record)
        if prompt_changed:
            self.prompts.add(key.account, row["row_id"], record.prompt)

    def _insert_pairs(self, row_id: int, key: VideoKey, record: VideoRecord) -> None:
        self.db.executemany(
            "INSERT INTO metadata_pairs VALUES (?,?,?,?,?,?)",
            [
                (key.account, name, value, record.created, key.video_id, row_id)
                for name, value in (record.metadata or {}).items()
            ],
        )

    def _delete_pairs(self, row: sqlite3.Row) -> None:
        self.db.executemany(
            "DELETE FROM metadata_pairs WHERE account = ? AND name = ? AND value = ?"
            " AND created = ? AND id = ?",
            [
                (row["account"], name, value, row["created"], row["id"])
                for name, value in _pairs(row).items()
            ],
        )


def _pairs(row: sqlite3.Row) -> dict[str, str]:
    pairs: dict[str, str] = json.loads(row["metadata"] or "{}")
    return pairs
