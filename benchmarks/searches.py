"""What the costliest searches take: prompts of one repeated letter, and a text that no prompt has.

`python -m benchmarks.searches` fills the list's table, without streams, and prints processor time.
Baseline in the same run: the same prompts in one FTS5 table that is asked for the text as a phrase.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import time
from collections.abc import Callable
from typing import Final

from functions.shared.errors import SearchTooBroad
from functions.shared.streams.bus import Message
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName
from functions.shared.video.requests import MAX_PROMPT_CHARACTERS
from functions.status.listing import time_limit
from functions.status.listing.filters import Filters
from functions.status.listing.query import PageOrder, select_page
from functions.status.listing.schema import VideoRecord
from functions.status.listing.table import VideoTable

REPEATED: Final = "a" * MAX_PROMPT_CHARACTERS
# A query of the baseline is given up after this time.
BASELINE_SECONDS: Final = 60.0


def main() -> None:
    """Print both tables of figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=1_100, help="prompts of one letter")
    parser.add_argument("--videos", type=int, default=100_000, help="videos with other prompts")
    options = parser.parse_args()
    table = VideoTable.empty()
    _add(table, "repeated", [REPEATED] * options.prompts, 0)
    print(f"{options.prompts} prompts of {MAX_PROMPT_CHARACTERS} letters a; milliseconds:")
    baseline = _baseline(options.prompts)
    for length in (100, 500):
        text = "a" * length
        phrase, search = _search_phrase(baseline, text), _search(table, "repeated", text)
        print(f"  q of {length} letters: {phrase} as a phrase, {search} as Kinora searches")
    chance = random.Random(1)  # noqa: S311 - reproducible content
    words = [f"w{chance.getrandbits(20):05x}" for _ in range(3000)]
    prompts = [" ".join(chance.choices(words, k=15)) for _ in range(options.videos)]
    _add(table, "words", prompts, options.prompts)
    print(
        f"{options.videos} prompts of 15 words; milliseconds, of {time_limit.MAX_QUERY_SECONDS} s:"
    )
    print(f"  q of two characters that no prompt has: {_search(table, 'words', 'zz')}")
    print("Prompts of random characters; milliseconds:")
    odd = ["".join(map(chr, chance.choices(range(0x4E00, 0x9FFF), k=4096))) for _ in range(100)]
    print(f"  the longest insertion: {_add(table, 'random', odd, options.prompts + len(prompts))}")


def _add(table: VideoTable, account: str, prompts: list[str], first: int) -> str:
    """Insert prompts; returns what the longest insertion took."""
    longest = 0.0
    for seq, prompt in enumerate(prompts, first + 1):
        record = VideoRecord(seq, EventName.REQUESTED, "queued", {}, prompt)
        key = VideoKey(account, f"v{seq}")
        message = Message(key.request_subject, seq, seq, b"")
        begun = time.thread_time()
        table.put_request(key, message, record)
        longest = max(longest, time.thread_time() - begun)
    return f"{1000 * longest:.1f}"


def _baseline(prompts: int) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE prompts USING fts5 (prompt, tokenize = 'trigram')")
    db.executemany("INSERT INTO prompts VALUES (?)", [(REPEATED,)] * prompts)
    return db


def _search_phrase(db: sqlite3.Connection, text: str) -> str:
    deadline = time.thread_time() + BASELINE_SECONDS
    db.set_progress_handler(lambda: time.thread_time() > deadline, 10_000)
    statement = "SELECT rowid FROM prompts WHERE prompts MATCH ?"
    return _milliseconds(lambda: db.execute(statement, (f'"{text}"',)).fetchall())


def _search(table: VideoTable, account: str, text: str) -> str:
    def search() -> object:
        with table.database.reading() as db, time_limit.limited(db):
            return select_page(db, account, Filters(text=text), PageOrder(True), 21)

    return _milliseconds(search)


def _milliseconds(search: Callable[[], object]) -> str:
    begun = time.thread_time()
    try:
        search()
    except (SearchTooBroad, sqlite3.OperationalError):
        return f"given up after {1000 * (time.thread_time() - begun):,.0f}"
    return f"{1000 * (time.thread_time() - begun):,.1f}"


if __name__ == "__main__":
    main()
