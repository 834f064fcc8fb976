"""Fetches a model's weights: `python -m functions.generate.weights FOLDER [REPOSITORY [REVISION]]`.

Goes on where it was interrupted, and compares every file with the hub's checksum. What comes last
is `model_index.json`, without which no replica takes the folder for a model.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from pathlib import Path, PurePosixPath
from typing import Final

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.hf_api import RepoSibling

from functions.generate.engine.model.checkpoint import VARIANT, WEIGHTS, locate

log = logging.getLogger(__name__)

REPOSITORY: Final = "genmo/mochi-1-preview"
INDEX: Final = "model_index.json"
# Beside the weights: what the model and its tokenizer are made of.
FOLDERS: Final = ("scheduler", "tokenizer", *WEIGHTS)
# A file that is wrong twice is wrong at its source.
TRIES: Final = 2
BLOCK: Final = 1 << 24


class WrongChecksum(Exception):
    """A file is not what the hub says it is."""


def wanted(files: list[RepoSibling]) -> list[RepoSibling]:
    """Those that the engine reads, the index last: of weights that are there twice, the smaller."""
    chosen = []
    for file in files:
        path = PurePosixPath(file.rfilename)
        if len(path.parts) != 2 or path.parts[0] not in FOLDERS:  # noqa: PLR2004 - folder and name
            continue
        if path.parts[0] in WEIGHTS and (".safetensors" in path.name or path.suffix != ".json"):
            twice = any(_is_variant(f.rfilename, path.parts[0]) for f in files)
            if (
                ".safetensors" not in path.name
                or _is_variant(file.rfilename, path.parts[0]) != twice
            ):
                continue
        chosen.append(file)
    return chosen + [file for file in files if file.rfilename == INDEX]


def _is_variant(name: str, folder: str) -> bool:
    return name.startswith(f"{folder}/") and f".{VARIANT}" in name and ".safetensors" in name


def fetch(folder: Path, repository: str, revision: str) -> None:
    """Fill `folder` with what is missing there or is wrong.

    Raises:
        WrongChecksum: a file is not what it should be, again and again.
        OSError: the hub can't be reached, or the disk not be written.
    """
    info = HfApi().model_info(repository, revision=revision, files_metadata=True)
    files = wanted(info.siblings or [])
    log.info("%s at %s: %d files", repository, info.sha, len(files))
    for file in files:
        for last in range(1, TRIES + 1):
            path = Path(
                hf_hub_download(repository, file.rfilename, revision=info.sha, local_dir=folder)
            )
            if _is_right(path, file):
                log.info("%s: %d bytes, as they should be", file.rfilename, path.stat().st_size)
                break
            path.unlink()
            if last == TRIES:
                raise WrongChecksum(f"{file.rfilename} of {repository} has a wrong checksum")
    locate(str(folder))


def _is_right(path: Path, file: RepoSibling) -> bool:
    """Compare a file with its checksum: SHA-256 for large ones, git's own for the others."""
    if file.lfs is not None:
        digest, expected = hashlib.sha256(), file.lfs.sha256
    else:
        # The format of git's objects, which is no matter of security.
        digest, expected = hashlib.sha1(usedforsecurity=False), file.blob_id or ""
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as content:
        while block := content.read(BLOCK):
            digest.update(block)
    return digest.hexdigest() == expected


def main(folder: str, repository: str = REPOSITORY, revision: str = "main") -> None:
    """Fetch, or end with one line that says what went wrong."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        fetch(Path(folder), repository, revision)
    except Exception as problem:
        raise SystemExit(f"weights: {type(problem).__name__}: {problem}") from problem


if __name__ == "__main__":
    main(*sys.argv[1:])
