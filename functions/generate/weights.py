"""Downloads weights: `python -m functions.generate.weights FOLDER [REPOSITORY [REVISION]]`.

Resumes an interrupted download, and compares every file with the hub's checksum. The last file is
`model_index.json`, without which no replica accepts the folder as a model. Beside FOLDER, it
creates the folder in which replicas keep what they compile (COMPILE_CACHE).
"""

from __future__ import annotations

import hashlib
import logging
import sys
from pathlib import Path, PurePosixPath
from typing import Final

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.hf_api import RepoSibling

from functions.generate.engine.model.checkpoint import VARIANT, WEIGHTS, locate_checkpoint

log = logging.getLogger(__name__)

REPOSITORY: Final = "genmo/mochi-1-preview"
INDEX: Final = "model_index.json"
# Beside the model: where replicas keep what they compile. Pods may write to what they create only.
COMPILED: Final = "compiled"
# The model's folders: those with weights, the scheduler's and the tokenizer's configuration.
FOLDERS: Final = ("scheduler", "tokenizer", *WEIGHTS)
# A file whose checksum is wrong twice is wrong at its source.
MAX_DOWNLOADS: Final = 2
BLOCK: Final = 1 << 24


class WrongChecksum(Exception):
    """A file's checksum differs from the hub's."""


def select_files(files: list[RepoSibling]) -> list[RepoSibling]:
    """The files that the engine reads, the index last: of weights in two variants, the smaller."""
    selected = []
    for file in files:
        path = PurePosixPath(file.rfilename)
        if len(path.parts) != 2 or path.parts[0] not in FOLDERS:  # noqa: PLR2004 - folder and name
            continue
        if path.parts[0] in WEIGHTS and (".safetensors" in path.name or path.suffix != ".json"):
            has_variant = any(_is_variant(f.rfilename, path.parts[0]) for f in files)
            if (
                ".safetensors" not in path.name
                or _is_variant(file.rfilename, path.parts[0]) != has_variant
            ):
                continue
        selected.append(file)
    return selected + [file for file in files if file.rfilename == INDEX]


def _is_variant(name: str, folder: str) -> bool:
    return name.startswith(f"{folder}/") and f".{VARIANT}" in name and ".safetensors" in name


def download_weights(folder: Path, repository: str, revision: str) -> None:
    """Download into `folder` every file that is missing or has a wrong checksum.

    Raises:
        WrongChecksum: a file's checksum is still wrong after `MAX_DOWNLOADS`.
        OSError: the hub can't be reached, or the disk can't be written.
    """
    info = HfApi().model_info(repository, revision=revision, files_metadata=True)
    files = select_files(info.siblings or [])
    log.info("%s at %s: %d files", repository, info.sha, len(files))
    for file in files:
        for download in range(1, MAX_DOWNLOADS + 1):
            path = Path(
                hf_hub_download(repository, file.rfilename, revision=info.sha, local_dir=folder)
            )
            if _checksum_matches(path, file):
                log.info("%s: %d bytes, checksum matches", file.rfilename, path.stat().st_size)
                break
            path.unlink()
            if download == MAX_DOWNLOADS:
                raise WrongChecksum(f"{file.rfilename} of {repository} has a wrong checksum")
    locate_checkpoint(str(folder))


def _checksum_matches(path: Path, file: RepoSibling) -> bool:
    """Compare a file with its checksum: SHA-256 for large files, git's for the others."""
    if file.lfs is not None:
        digest, expected = hashlib.sha256(), file.lfs.sha256
    else:
        # The id of a git object; not used for security.
        digest, expected = hashlib.sha1(usedforsecurity=False), file.blob_id or ""
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as content:
        while block := content.read(BLOCK):
            digest.update(block)
    return digest.hexdigest() == expected


def main(folder: str, repository: str = REPOSITORY, revision: str = "main") -> None:
    """Download, or exit with one line that says what went wrong."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        (Path(folder).parent / COMPILED).mkdir(parents=True, exist_ok=True)
        download_weights(Path(folder), repository, revision)
    except Exception as problem:
        raise SystemExit(f"weights: {type(problem).__name__}: {problem}") from problem


if __name__ == "__main__":
    main(*sys.argv[1:])
