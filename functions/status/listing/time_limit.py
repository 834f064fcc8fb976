"""Limits the processor time of a query, because it keeps all others from the table."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from typing import Final

from functions.shared.errors import SearchTooBroad

# Twice what the slowest query takes over 100,000 videos.
MAX_QUERY_SECONDS: Final = 0.25
# Steps of SQLite between two checks: about a millisecond. Each check may wait for Python's lock.
_STEPS: Final = 10_000


@contextlib.contextmanager
def limited(db: sqlite3.Connection) -> Iterator[None]:
    """Interrupt what the caller's thread runs on `db` after `MAX_QUERY_SECONDS` of processor time.

    Not of elapsed time, so that a busy machine refuses nothing.

    Raises:
        SearchTooBroad: it took longer.
    """
    deadline = time.thread_time() + MAX_QUERY_SECONDS
    db.set_progress_handler(lambda: time.thread_time() > deadline, _STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise SearchTooBroad from None
        raise
    finally:
        db.set_progress_handler(None, 0)
