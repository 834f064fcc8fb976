"""Full-text search of prompts, with the trigrams of SQLite's FTS5. Not thread-safe.

Adding prompts in bulk takes a tenth of the time per prompt, so the newest rows are not indexed at
first; a search scans them instead.
"""

from __future__ import annotations

import sqlite3
from typing import Final

# A scan of this many rows takes less than a millisecond.
MAX_UNINDEXED_ROWS: Final = 1000
# FTS5 finds no shorter text with trigrams.
TRIGRAM: Final = 3

SCHEMA: Final = """
CREATE VIRTUAL TABLE prompts USING fts5 (
    prompt, content = 'videos', content_rowid = 'row_id', tokenize = 'trigram case_sensitive 1'
);
"""


class PromptIndex:
    """The index `prompts` on the column `prompt` of the table `videos`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Index the rows of `db`, which has both tables, empty."""
        self._db = db
        self._last_indexed = 0

    def row_inserted(self, row_id: int) -> None:
        """Index all rows up to `row_id`, the newest one, if enough of them are not indexed."""
        if row_id >= self._last_indexed + MAX_UNINDEXED_ROWS:
            self._db.execute(
                "INSERT INTO prompts (rowid, prompt) SELECT row_id, prompt FROM videos"
                " WHERE row_id > ?",
                (self._last_indexed,),
            )
            self._last_indexed = row_id

    def add(self, row_id: int, prompt: str | None) -> None:
        """Index the new prompt of an existing row."""
        if row_id <= self._last_indexed:
            self._db.execute("INSERT INTO prompts (rowid, prompt) VALUES (?, ?)", (row_id, prompt))

    def remove(self, row_id: int, prompt: str | None) -> None:
        """Remove a row; `prompt` is the indexed one, which an external content table needs."""
        if row_id <= self._last_indexed:
            self._db.execute(
                "INSERT INTO prompts (prompts, rowid, prompt) VALUES ('delete', ?, ?)",
                (row_id, prompt),
            )

    def matching_rows(self, text: str) -> tuple[str, tuple[object, ...]] | None:
        """A statement that selects the `row_id` of all prompts with `text`, and its parameters.

        Returns:
            None if FTS5 can't search for `text`.
        """
        # A NUL would end FTS5's query.
        if len(text) < TRIGRAM or "\0" in text:
            return None
        phrase = '"' + text.replace('"', '""') + '"'
        statement = (
            "SELECT rowid FROM prompts WHERE prompts MATCH ?"
            " UNION ALL SELECT row_id FROM videos WHERE row_id > ? AND instr(prompt, ?) > 0"
        )
        return statement, (phrase, self._last_indexed, text)
