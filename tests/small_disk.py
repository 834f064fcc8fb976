"""Small disks that a test fills and empties again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of its own, mounted on `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Leave no room at all."""
        block = bytes(1 << 16)
        with self._filler.open("wb", buffering=0) as file:
            try:
                while file.write(block):
                    pass
            except OSError:
                return

    def empty(self) -> None:
        """Make room again."""
        self._filler.unlink()


@contextmanager
def small_disk(path: Path, *, megabytes: int = 32) -> Iterator[SmallDisk]:
    """Mount a disk on `path`, until the end of the block. Without root, the test is skipped."""
    if os.geteuid() != 0:
        pytest.skip("mounting a disk needs root")
    path.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700"]
    subprocess.run(["mount", *options, "tmpfs", str(path)], check=True)
    try:
        yield SmallDisk(path)
    finally:
        # Lazily: a process that is still being killed may have files open.
        subprocess.run(["umount", "--lazy", str(path)], check=True)
