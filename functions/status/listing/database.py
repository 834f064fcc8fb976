"""An SQLite file with one writer, and a connection for each reader: neither waits for the other.

The file is a projection that a replay rebuilds, so it is in a temporary folder (`TMPDIR`), is never
synced to the disk, and goes with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PREFIX: Final = "kinora-index-"
# Readers beyond these have connections of their own, which are closed afterwards.
MAX_IDLE_READERS: Final = 8
# Pages that a connection keeps; the operating system keeps the rest, while it has memory for them.
CACHE_KIB: Final = 2000
# A reader waits for nobody but a writer that switches the journal, which takes milliseconds.
BUSY_SECONDS: Final = 5.0


class Database:
    """Connections to one new file, which is removed once nobody uses this object any more.

    Attributes:
        writer: for one thread at a time.
    """

    def __init__(self) -> None:
        """Create the file, and remove those of processes that were killed."""
        folder, descriptor = _new_folder()
        weakref.finalize(self, _remove, folder, descriptor)
        self._path = str(folder / "index.sqlite")
        self.writer: Final = self._connect()
        self.writer.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._idle: list[sqlite3.Connection] = []

    def begin_bulk(self, cache_bytes: int) -> None:
        """Write fast from now on, without readers; after an error the file is of no use."""
        self.writer.execute("PRAGMA journal_mode = OFF")
        self.writer.execute(f"PRAGMA cache_size = -{cache_bytes >> 10}")

    def admit_readers(self) -> None:
        """Let readers in from now on: each change is seen as a whole, or not at all."""
        self.writer.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self.writer.execute("PRAGMA journal_mode = WAL")
        self.writer.execute("PRAGMA shrink_memory")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that shows the state of one moment, for one thread."""
        # Of lists, `pop` and `append` are atomic.
        try:
            db = self._idle.pop()
        except IndexError:
            db = self._connect()
        try:
            db.execute("BEGIN")
            yield db
        finally:
            db.execute("ROLLBACK")
            if len(self._idle) < MAX_IDLE_READERS:
                self._idle.append(db)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
        )
        db.row_factory = sqlite3.Row
        # Of a new file: two or three messages fit a page.
        db.execute("PRAGMA page_size = 8192")
        db.execute("PRAGMA synchronous = OFF")
        return db


def _new_folder() -> tuple[Path, int]:
    """A new folder, and a descriptor of it whose lock lasts as long as this process."""
    _remove_leftovers()
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Another process that starts may take it for a leftover until it is locked.
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists():
                return path, descriptor
            os.close(descriptor)


def _remove_leftovers() -> None:
    """Remove the folders of processes that could not do it: a container's disk outlives them."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # its process removes it now, or is another user's
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def _remove(folder: Path, descriptor: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(descriptor)
