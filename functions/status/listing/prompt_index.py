"""Full-text search of prompts, with the trigrams of SQLite's FTS5. Not thread-safe.

Each account has an index of its own, so that a search costs what the caller's own prompts cost.
Adding prompts in bulk takes a tenth of the time per prompt, so an account's newest rows are not
indexed at first; a search scans them instead.
"""

from __future__ import annotations

import sqlite3
import sys
from typing import Final

# A scan of this many rows takes less than a millisecond.
MAX_UNINDEXED_ROWS: Final = 1000
# Each batch holds the writer: for 10 ms, or under a second if all trigrams in it are different.
MAX_UNINDEXED_CHARACTERS: Final = 50_000
# FTS5 finds no shorter text with trigrams.
TRIGRAM: Final = 3
# FTS5 intersects one list of rows for each trigram, and more than this many exclude few rows more.
MAX_TRIGRAMS: Final = 16
# What FTS5 collects in memory before it writes a part of the index: its default, and, for a whole
# index, so much that it merges few parts, which is a third of the work.
HASH_BYTES: Final = 1 << 20
BUILD_BYTES: Final = 64 << 20
# A shorter text is looked for as all trigrams that begin with it. A text that begins more of them
# is common, so that reading prompts in order finds it soon.
MAX_BEGUN: Final = 1000
# So is one that is in one of a hundred of the newest prompts. Reading 2,000 takes 2 ms.
SAMPLED_ROWS: Final = 2000
FREQUENT: Final = 20
# What is indexed of a prompt: any two characters of it begin a trigram, also its last ones.
_INDEXED: Final = "{} || char(1, 1)"

PROMPTS_SCHEMA: Final = """
CREATE TABLE prompt_indexes (
    account      TEXT PRIMARY KEY,
    number       INTEGER NOT NULL,  -- names the index `prompts_<number>`
    last_indexed INTEGER NOT NULL,  -- the rows of the account up to this `row_id` are in it
    rows         INTEGER NOT NULL,  -- the number of those that are not
    characters   INTEGER NOT NULL   -- of their prompts
) WITHOUT ROWID;
"""


class PromptIndex:
    """The indexes `prompts_<number>` on the column `prompt` of the table `videos`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Index and search the rows of `db`; a reader's connection can only search."""
        self._db = db

    def row_inserted(self, account: str, row_id: int, prompt: str | None) -> None:
        """Index the rows up to `row_id`, the account's newest, if enough of them are not."""
        rows, characters = self._db.execute(
            "INSERT INTO prompt_indexes SELECT ?1, count(*) + 1, 0, 1, ?2 FROM prompt_indexes"
            " WHERE TRUE ON CONFLICT DO UPDATE SET rows = rows + 1, characters = characters + ?2"
            " RETURNING rows, characters",
            (account, len(prompt or "")),
        ).fetchone()
        if rows >= MAX_UNINDEXED_ROWS or characters >= MAX_UNINDEXED_CHARACTERS:
            self._index_up_to(account, row_id)

    def build(self) -> None:
        """Index the rows of every account that has enough of them; none was indexed before."""
        self._db.execute(
            "INSERT INTO prompt_indexes"
            " SELECT account, row_number() OVER (), 0, count(*), total(length(prompt))"
            " FROM videos GROUP BY account"
        )
        large = self._db.execute(
            "SELECT account FROM prompt_indexes WHERE rows >= ? OR characters >= ?",
            (MAX_UNINDEXED_ROWS, MAX_UNINDEXED_CHARACTERS),
        ).fetchall()
        last = self._db.execute("SELECT max(row_id) FROM videos").fetchone()[0]
        for (account,) in large:
            self._index_up_to(account, last, hash_bytes=BUILD_BYTES)

    def add(self, account: str, row_id: int, prompt: str | None) -> None:
        """Index the new prompt of an existing row."""
        number, last_indexed = self._of(account)
        if row_id <= last_indexed:
            self._db.execute(
                f"INSERT INTO prompts_{number} (rowid, prompt)"  # noqa: S608 - a number
                f" VALUES (?, {_INDEXED.format('?')})",
                (row_id, prompt),
            )

    def remove(self, account: str, row_id: int, prompt: str | None) -> None:
        """Remove a row; `prompt` is the indexed one, because the index does not keep it."""
        number, last_indexed = self._of(account)
        if row_id <= last_indexed:
            self._db.execute(
                f"INSERT INTO prompts_{number} (prompts_{number}, rowid, prompt)"  # noqa: S608 - a number
                f" VALUES ('delete', ?, {_INDEXED.format('?')})",
                (row_id, prompt),
            )

    def matching_rows(self, account: str, text: str) -> tuple[str, tuple[object, ...]] | None:
        """A statement that selects the `row_id` of the account's prompts with `text`.

        Returns:
            The statement and its parameters; None if FTS5 can't search for `text`, or if so many
            prompts have it that searching is no gain.
        """
        # A NUL would end FTS5's query.
        if "\0" in text:
            return None
        number, last_indexed = self._of(account)
        statement = (
            "SELECT row_id FROM videos INDEXED BY by_account"
            " WHERE account = ? AND row_id > ? AND instr(prompt, ?) > 0"
        )
        values = (account, last_indexed, text)
        if not last_indexed:
            return statement, values
        expression = (
            _expression(_some_trigrams(text), "AND")
            if len(text) >= TRIGRAM
            else self._begun_by(account, number, text)
        )
        if expression is None:
            return None
        if not expression:
            return statement, values
        # All trigrams together only suggest a row: they may be anywhere in its prompt.
        indexed = (
            f"SELECT candidate.row_id FROM prompts_{number} CROSS JOIN videos AS candidate"  # noqa: S608 - a number
            f" ON candidate.row_id = prompts_{number}.rowid"
            f" WHERE prompts_{number} MATCH ? AND instr(candidate.prompt, ?) > 0"
        )
        return f"{indexed} UNION ALL {statement}", (expression, text, *values)

    def _of(self, account: str) -> tuple[int, int]:
        row = self._db.execute(
            "SELECT number, last_indexed FROM prompt_indexes WHERE account = ?", (account,)
        ).fetchone()
        return (0, 0) if row is None else (row[0], row[1])

    def _index_up_to(self, account: str, row_id: int, *, hash_bytes: int = HASH_BYTES) -> None:
        number, last_indexed = self._of(account)
        if not last_indexed:
            # A search asks for each trigram alone, so their positions are not stored, and ranks
            # nothing, so neither are their numbers.
            self._db.execute(
                f"CREATE VIRTUAL TABLE prompts_{number} USING fts5 (prompt, content = '',"
                " detail = none, columnsize = 0, tokenize = 'trigram case_sensitive 1')"
            )
            self._db.execute(
                f"CREATE VIRTUAL TABLE begun_{number} USING fts5vocab (prompts_{number}, row)"
            )
        self._db.execute(
            f"INSERT INTO prompts_{number} (prompts_{number}, rank) VALUES ('hashsize', ?)",  # noqa: S608 - a number
            (hash_bytes,),
        )
        self._db.execute(
            f"INSERT INTO prompts_{number} (rowid, prompt)"  # noqa: S608 - a number
            f" SELECT row_id, {_INDEXED.format('prompt')} FROM videos"
            " INDEXED BY by_account WHERE account = ? AND row_id BETWEEN ? AND ?",
            (account, last_indexed + 1, row_id),
        )
        self._db.execute(
            "UPDATE prompt_indexes SET last_indexed = ?, rows = 0, characters = 0"
            " WHERE account = ?",
            (row_id, account),
        )

    def _begun_by(self, account: str, number: int, text: str) -> str | None:
        """FTS5's query for a text that is shorter than a trigram; None if it is frequent."""
        # FTS5 counts the rows of each trigram that it names, so frequent texts are not asked for.
        (found,) = self._db.execute(
            "SELECT count(*) FROM (SELECT prompt FROM videos INDEXED BY by_account"
            " WHERE account = ? ORDER BY row_id DESC LIMIT ?) WHERE instr(prompt, ?) > 0",
            (account, SAMPLED_ROWS, text),
        ).fetchone()
        if found >= FREQUENT:
            return None
        trigrams = self._db.execute(
            f"SELECT term FROM begun_{number} WHERE term >= ? AND term < ? LIMIT ?",  # noqa: S608 - a number
            (text, _after(text), MAX_BEGUN + 1),
        ).fetchall()
        if len(trigrams) > MAX_BEGUN:
            return None
        return _expression([str(trigram[0]) for trigram in trigrams], "OR")


def _some_trigrams(text: str) -> list[str]:
    """Some of the distinct trigrams of `text`.

    A phrase would compare the positions of every trigram with those of the next, which takes
    minutes where both repeat one character.
    """
    ends = range(TRIGRAM, len(text) + 1)
    trigrams = list(dict.fromkeys(text[end - TRIGRAM : end] for end in ends))
    return trigrams[:: -(-len(trigrams) // MAX_TRIGRAMS)]


def _expression(trigrams: list[str], operator: str) -> str:
    quoted = ('"' + trigram.replace('"', '""') + '"' for trigram in trigrams)
    return f" {operator} ".join(quoted)


def _after(text: str) -> str:
    """The first text, by code points, after all that begin with `text`."""
    if ord(text[-1]) == sys.maxunicode:
        return chr(sys.maxunicode) * TRIGRAM
    following = chr(ord(text[-1]) + 1)
    # UTF-8 has no surrogates.
    return text[:-1] + ("\ue000" if following == "\ud800" else following)
