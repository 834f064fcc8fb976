"""Compares weights with the checksums that the hub's client keeps beside what it downloads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from functions.generate.engine.model.checkpoint import CheckpointError

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
# hashlib releases the interpreter's lock, so each file gets a core of its own.
_THREADS: Final = 4


def verify_checksums(folder: Path, files: Iterable[Path]) -> None:
    """Return if each of `files` in `folder` is what the hub sent, as far as that is known.

    Raises:
        CheckpointError: a file has changed since its download; the message names it.
    """

    def verify(path: Path) -> None:
        expected = _known_sha256(folder, path)
        if expected is None:
            return
        with path.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != expected:
            raise CheckpointError(
                f"{path}: is damaged: its SHA-256 is not the hub's. Download it again; if it was "
                f"changed on purpose, remove {folder / '.cache'}"
            )

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(verify, files))


def _known_sha256(folder: Path, path: Path) -> str | None:
    """From the hub's cache, where large files link to their checksums, or a folder's metadata."""
    if path.is_symlink():
        name = path.readlink().name
        return name if _SHA256.fullmatch(name) else None
    downloads = folder / ".cache" / "huggingface" / "download"
    try:
        # The lines of this file are the commit, the ETag, and the time of the download.
        _, etag, *_ = (downloads / f"{path.relative_to(folder)}.metadata").read_text().splitlines()
    except (OSError, ValueError):
        return None
    return etag if _SHA256.fullmatch(etag) else None
