"""What the index keeps where: files that go with their process, and texts in bounded memory."""

from __future__ import annotations

import fcntl
import gc
import os
import tempfile
from pathlib import Path

import pytest

from functions.shared.subjects import VideoKey
from functions.status.listing.table import VideoTable
from functions.status.video_texts import OVERHEAD_BYTES, VideoText, VideoTexts

KEYS = [VideoKey("acme", f"v{n}") for n in range(3)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_files_go_with_the_index(folder: Path) -> None:
    """Without waiting for the end of the process."""
    table = VideoTable.empty()
    # Threads of other tests may rebuild an index meanwhile, in the same folder.
    file = Path(table.database._path)
    assert file.parent.parent == folder
    assert file.exists()
    del table
    gc.collect()
    assert not file.parent.exists()


def test_what_a_killed_process_left_is_removed(folder: Path) -> None:
    """A container's disk outlives its process; the files of a process that runs stay."""
    left, used = folder / "kinora-index-left", folder / "kinora-index-used"
    for path in (left, used):
        path.mkdir()
        (path / "index.sqlite").touch()
    descriptor = os.open(used, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    table = VideoTable.empty()
    os.close(descriptor)
    assert not left.exists()
    assert used.exists()
    assert Path(folder).exists()
    del table


def _text(seq: int, size: int = 100) -> VideoText:
    return VideoText(b"x" * size, "completed", 1, event_seq=seq)


def test_texts_have_a_limit_of_memory() -> None:
    """Those that were used longest ago are forgotten."""
    texts = VideoTexts(max_bytes=2 * (100 + OVERHEAD_BYTES))
    texts.put(KEYS[0], _text(1))
    texts.put(KEYS[1], _text(2))
    assert texts.get(KEYS[0]) is not None
    texts.put(KEYS[2], _text(3))
    assert [texts.get(key) is not None for key in KEYS] == [True, False, True]
    texts.put(KEYS[0], _text(4, size=10_000))
    assert [texts.get(key) for key in KEYS] == [None, None, None]


def test_a_text_that_was_read_before_a_change_is_not_kept() -> None:
    """A reader may be slower than the change: it would keep for ever what is not so any more."""
    texts = VideoTexts(max_bytes=1 << 20)
    changes = texts.changes
    texts.put(KEYS[0], _text(2))
    texts.keep(KEYS[0], _text(1), changes)
    assert texts.get(KEYS[0]) == _text(2)
    texts.keep(KEYS[1], _text(1), texts.changes)
    assert texts.get(KEYS[1]) == _text(1)
