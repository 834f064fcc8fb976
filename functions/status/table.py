"""The table behind the list: one row a video, and what makes it quick to search. Not thread-safe.

Prompts are searched with SQLite's FTS5 and its trigrams. Adding a prompt to it costs a tenth of the
time when it is done for many at once, so the newest rows wait in a tail that is scanned instead.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from functions.shared.api.video_schema import Video
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName

# A scan of so many rows takes less than a millisecond.
TAIL: Final = 1000

_SCHEMA: Final = """
CREATE TABLE videos (
    n           INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order in which they became known
    account     TEXT NOT NULL,
    id          TEXT NOT NULL,
    created     INTEGER NOT NULL,  -- JetStream's, in nanoseconds
    request_seq INTEGER NOT NULL,  -- in REQUESTS; 0: not seen
    event_seq   INTEGER NOT NULL,  -- in VIDEOS; 0: none yet
    name        TEXT NOT NULL,     -- of the newest event
    status      TEXT,              -- as the HTTP API shows it; from here on absent after a deletion
    metadata    TEXT,
    prompt      TEXT,              -- folded
    object      TEXT,              -- the video object
    UNIQUE (account, id)
);
CREATE INDEX newest ON videos (account, created, id, status) WHERE name != 'deleted';
CREATE INDEX by_status ON videos (account, status, created, id) WHERE name != 'deleted';
CREATE TABLE pairs (
    account TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    created INTEGER NOT NULL,
    id      TEXT NOT NULL,
    n       INTEGER NOT NULL,
    PRIMARY KEY (account, name, value, created, id)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE prompts USING fts5 (
    prompt, content = 'videos', content_rowid = 'n', tokenize = 'trigram case_sensitive 1'
);
"""


@dataclass(frozen=True)
class Content:
    """What is known of a video; all but the first two absent for a deleted one.

    `created` is JetStream's time in nanoseconds, and `prompt` folded, as it is searched.
    """

    created: int
    name: EventName
    video: Video | None = None
    prompt: str | None = None

    @property
    def metadata(self) -> str | None:
        """The pairs, in one text that is equal for equal pairs."""
        return json.dumps(self.video["metadata"], sort_keys=True) if self.video else None

    def columns(self) -> tuple[Any, ...]:
        """In the order in which `Table` writes them."""
        video = self.video
        return (
            self.created,
            self.name.value,
            video["status"] if video else None,
            self.metadata,
            self.prompt,
            json.dumps(video) if video else None,
        )


class Table:
    """Rows by (account, id). A message about a video changes its row, or is too old to."""

    def __init__(self, path: str) -> None:
        """Start empty; `path` is a file of SQLite's, or `:memory:`."""
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.executescript(_SCHEMA)
        # The rows up to this one are in `prompts`.
        self.searchable = 0

    def put_request(self, key: VideoKey, seq: int, content: Content) -> EventName:
        """A request with this sequence was seen; the answer is what the video now is."""
        old = self._old(key)
        if old is None:
            self._insert(key, seq, 0, content)
            return content.name
        if old["event_seq"] == 0 and seq >= old["request_seq"]:
            self._replace(key, old, content)
        self.db.execute(
            "UPDATE videos SET request_seq = max(request_seq, ?) WHERE n = ?", (seq, old["n"])
        )
        return EventName(old["name"])

    def put_event(self, key: VideoKey, seq: int, content: Content) -> bool:
        """An event with this sequence was seen; false if a later one was seen before."""
        old = self._old(key)
        if old is None:
            self._insert(key, 0, seq, content)
        elif seq > old["event_seq"]:
            self._replace(key, old, content)
            self.db.execute("UPDATE videos SET event_seq = ? WHERE n = ?", (seq, old["n"]))
        else:
            return False
        return True

    def clear(self) -> None:
        """Drop everything."""
        self.db.executescript(
            "BEGIN; DELETE FROM videos; DELETE FROM pairs;"
            " INSERT INTO prompts (prompts) VALUES ('delete-all'); COMMIT;"
        )

    def place(self, account: str, video_id: str) -> tuple[int, str] | None:
        """Where in the list a video stands, or stood before it was deleted."""
        # A tombstone keeps its place, because a caller may page on from a video just deleted.
        row = self.db.execute(
            "SELECT created, id FROM videos WHERE account = ? AND id = ?", (account, video_id)
        ).fetchone()
        return None if row is None else (int(row["created"]), str(row["id"]))

    def forget(self, since: int) -> list[VideoKey]:
        """Drop what was created before `since`; tells what that was."""
        rows = self.db.execute("SELECT * FROM videos WHERE created < ?", (since,)).fetchall()
        self.db.execute("BEGIN")
        for row in rows:
            self._remove_pairs(row)
            self._remove_prompt(row)
            self.db.execute("DELETE FROM videos WHERE n = ?", (row["n"],))
        self.db.execute("COMMIT")
        return [VideoKey(row["account"], row["id"]) for row in rows]

    def _old(self, key: VideoKey) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self.db.execute(
            "SELECT n, account, id, created, request_seq, event_seq, name, metadata, prompt"
            " FROM videos WHERE account = ? AND id = ?",
            (key.account, key.video_id),
        ).fetchone()
        return row

    def _insert(self, key: VideoKey, request_seq: int, event_seq: int, content: Content) -> None:
        place = (key.account, key.video_id, request_seq, event_seq)
        cursor = self.db.execute(
            "INSERT INTO videos (account, id, request_seq, event_seq,"
            " created, name, status, metadata, prompt, object) VALUES (?,?,?,?,?,?,?,?,?,?)",
            (*place, *content.columns()),
        )
        n = int(cursor.lastrowid or 0)
        self._add_pairs(n, key, content)
        if n >= self.searchable + TAIL:
            self.db.execute(
                "INSERT INTO prompts (rowid, prompt) SELECT n, prompt FROM videos WHERE n > ?",
                (self.searchable,),
            )
            self.searchable = n

    def _replace(self, key: VideoKey, old: sqlite3.Row, content: Content) -> None:
        columns = content.columns()
        # Most events change neither what is searched nor the place in the list.
        other_prompt = content.prompt != old["prompt"]
        other_pairs = (content.created, columns[3]) != (old["created"], old["metadata"])
        if other_pairs:
            self._remove_pairs(old)
        if other_prompt:
            self._remove_prompt(old)
        self.db.execute(
            "UPDATE videos SET created = ?, name = ?, status = ?, metadata = ?, prompt = ?,"
            " object = ? WHERE n = ?",
            (*columns, old["n"]),
        )
        if other_pairs:
            self._add_pairs(old["n"], key, content)
        if other_prompt and old["n"] <= self.searchable:
            self.db.execute(
                "INSERT INTO prompts (rowid, prompt) VALUES (?, ?)", (old["n"], content.prompt)
            )

    def _add_pairs(self, n: int, key: VideoKey, content: Content) -> None:
        if content.video and content.video["metadata"]:
            self.db.executemany(
                "INSERT INTO pairs VALUES (?,?,?,?,?,?)",
                [
                    (key.account, name, value, content.created, key.video_id, n)
                    for name, value in content.video["metadata"].items()
                ],
            )

    def _remove_pairs(self, old: sqlite3.Row) -> None:
        self.db.executemany(
            "DELETE FROM pairs WHERE account = ? AND name = ? AND value = ? AND created = ?"
            " AND id = ?",
            [
                (old["account"], name, value, old["created"], old["id"])
                for name, value in json.loads(old["metadata"] or "{}").items()
            ],
        )

    def _remove_prompt(self, old: sqlite3.Row) -> None:
        if old["n"] <= self.searchable:
            # A table without content of its own must be told what it had.
            self.db.execute(
                "INSERT INTO prompts (prompts, rowid, prompt) VALUES ('delete', ?, ?)",
                (old["n"], old["prompt"]),
            )
