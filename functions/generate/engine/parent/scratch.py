"""The temporary folder of a group of ranks, which does not outlive them, whatever kills them."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = "kinora-engine-"
# A folder gets its final name once it is locked, so no other process takes it for a leftover.
_NEW_PREFIX: Final = "kinora-new-engine-"
_LOCK: Final = "lock"


class ScratchFolder:
    """A new folder that only this user can read; leftovers of processes that died are removed.

    Attributes:
        path: the folder.

    Raises:
        OSError: the system's temporary folder can't be written.
    """

    def __init__(self) -> None:
        parent = Path(tempfile.gettempdir())
        for leftover in parent.glob(f"{_PREFIX}*"):
            _remove_unless_locked(leftover)
        new = Path(tempfile.mkdtemp(prefix=_NEW_PREFIX, dir=parent))
        # Held until this process closes it or ends, however it ends.
        self._lock = (new / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.path = new.rename(parent / new.name.replace(_NEW_PREFIX, _PREFIX, 1))

    def remove(self) -> None:
        """Remove the folder. Idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _remove_unless_locked(folder: Path) -> None:
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # its owner lives, or is another user; or another process was faster
        return
