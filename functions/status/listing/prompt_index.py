"""Full-text search of prompts, with the trigrams of SQLite's FTS5. Not thread-safe.

Each account has an index of its own, so that a search costs what the caller's own prompts cost.
Adding prompts in bulk takes a tenth of the time per prompt, so an account's newest rows are not
indexed at first; a search scans them instead.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

# A scan of this many rows takes less than a millisecond.
MAX_UNINDEXED_ROWS: Final = 1000
# Each batch holds the table: for 40 ms, or under a second if all trigrams in it are different.
MAX_UNINDEXED_CHARACTERS: Final = 50_000
# FTS5 finds no shorter text with trigrams.
TRIGRAM: Final = 3
# FTS5 intersects one list of rows for each trigram, and more than this many exclude few rows more.
MAX_TRIGRAMS: Final = 16


@dataclass
class _Account:
    """How far an account's prompts are indexed; `number` names its index."""

    number: int
    last_indexed: int = 0
    unindexed_rows: int = 0
    unindexed_characters: int = 0

    @property
    def table(self) -> str:
        return f"prompts_{self.number}"


class PromptIndex:
    """The indexes `prompts_<number>` on the column `prompt` of the table `videos`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Index the rows of `db`, whose table `videos` is empty."""
        self._db = db
        self._accounts: dict[str, _Account] = {}

    def row_inserted(self, account: str, row_id: int, prompt: str | None) -> None:
        """Index the rows up to `row_id`, the account's newest, if enough of them are not."""
        known = self._accounts.setdefault(account, _Account(len(self._accounts) + 1))
        known.unindexed_rows += 1
        known.unindexed_characters += len(prompt or "")
        if (
            known.unindexed_rows < MAX_UNINDEXED_ROWS
            and known.unindexed_characters < MAX_UNINDEXED_CHARACTERS
        ):
            return
        # A search asks for each trigram alone, so their positions are not stored.
        self._db.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS {known.table} USING fts5 (prompt,"
            " content = 'videos', content_rowid = 'row_id', detail = none,"
            " tokenize = 'trigram case_sensitive 1')"
        )
        self._db.execute(
            f"INSERT INTO {known.table} (rowid, prompt) SELECT row_id, prompt FROM videos"  # noqa: S608 - a number
            " INDEXED BY by_account WHERE account = ? AND row_id > ?",
            (account, known.last_indexed),
        )
        known.last_indexed = row_id
        known.unindexed_rows = known.unindexed_characters = 0

    def add(self, account: str, row_id: int, prompt: str | None) -> None:
        """Index the new prompt of an existing row."""
        known = self._accounts[account]
        if row_id <= known.last_indexed:
            self._db.execute(
                f"INSERT INTO {known.table} (rowid, prompt) VALUES (?, ?)",  # noqa: S608 - as above
                (row_id, prompt),
            )

    def remove(self, account: str, row_id: int, prompt: str | None) -> None:
        """Remove a row; `prompt` is the indexed one, which an external content table needs."""
        known = self._accounts[account]
        if row_id <= known.last_indexed:
            self._db.execute(
                f"INSERT INTO {known.table} ({known.table}, rowid, prompt)"  # noqa: S608 - as above
                " VALUES ('delete', ?, ?)",
                (row_id, prompt),
            )

    def clear(self) -> None:
        """Drop all indexes, when all rows are deleted."""
        for known in self._accounts.values():
            self._db.execute(f"DROP TABLE IF EXISTS {known.table}")
        self._accounts.clear()

    def matching_rows(self, account: str, text: str) -> tuple[str, tuple[object, ...]] | None:
        """A statement that selects the `row_id` of the account's prompts with `text`.

        Returns:
            The statement and its parameters; None if FTS5 can't search for `text`.
        """
        # A NUL would end FTS5's query.
        if len(text) < TRIGRAM or "\0" in text:
            return None
        known = self._accounts.get(account, _Account(0))
        statement = (
            "SELECT row_id FROM videos INDEXED BY by_account"
            " WHERE account = ? AND row_id > ? AND instr(prompt, ?) > 0"
        )
        values = (account, known.last_indexed, text)
        if not known.last_indexed:
            return statement, values
        # All trigrams together only suggest a row: they may be anywhere in its prompt.
        indexed = (
            f"SELECT candidate.row_id FROM {known.table} CROSS JOIN videos AS candidate"  # noqa: S608 - as above
            f" ON candidate.row_id = {known.table}.rowid"
            f" WHERE {known.table} MATCH ? AND instr(candidate.prompt, ?) > 0"
        )
        return f"{indexed} UNION ALL {statement}", (_expression(text), text, *values)


def _expression(text: str) -> str:
    """FTS5's query for some of the distinct trigrams of `text`.

    A phrase would compare the positions of every trigram with those of the next, which takes
    minutes where both repeat one character.
    """
    ends = range(TRIGRAM, len(text) + 1)
    trigrams = list(dict.fromkeys(text[end - TRIGRAM : end] for end in ends))
    some = trigrams[:: -(-len(trigrams) // MAX_TRIGRAMS)]
    return " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in some)
