"""Changes of the list's database by single messages. For one thread at a time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from functions.shared.streams.bus import Message
from functions.shared.subjects import VideoKey
from functions.status.listing.database import Database
from functions.status.listing.prompt_index import PROMPTS_SCHEMA, PromptIndex
from functions.status.listing.schema import (
    INDEXES,
    INSERT_VIDEO,
    PUT_MESSAGE,
    SCHEMA,
    SEE_REQUEST,
    UPDATE_VIDEO,
    VideoRecord,
    message_columns,
)


class VideoTable:
    """Rows by (account, id). Messages may come in any order: stale ones change nothing.

    Attributes:
        database: connections for readers.
        db: the writer.
        size: the number of rows.
    """

    def __init__(self, database: Database, last_row: int = 0) -> None:
        """Write to `database`, which has the schema and the rows from 1 to `last_row`."""
        self.database: Final = database
        self.db: Final = database.writer
        self.prompts: Final = PromptIndex(self.db)
        self._last_row = self.size = last_row

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
        self.size -= len(keys)
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
        self.size += 1
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
