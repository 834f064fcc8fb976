"""Finds and validates a checkpoint without reading all of its weights.

A local folder is checked without torch; only downloading a hub id imports diffusers.

A wrong folder or a truncated copy is detected in milliseconds, with an error that names the file,
instead of after minutes of loading, with an error that names a tensor.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PIPELINE: Final = "MochiPipeline"
WEIGHTS: Final = ("transformer", "text_encoder", "vae")
# genmo/mochi-1-preview has its weights twice: in fp32, and in this variant at half the size.
VARIANT: Final = "bf16"

# How much of each weights file a revision covers. With the headers alone, two fine-tunes would have
# the same revision.
SAMPLES: Final = 32
SAMPLE_BYTES: Final = 1 << 16
MAX_HEADER_BYTES: Final = 100_000_000  # the limit of the safetensors library

_HUB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class CheckpointError(Exception):
    """A checkpoint is missing, truncated, or not Mochi's; the message is one line and names it."""


@dataclass(frozen=True)
class Lora:
    """A safetensors file of low-rank changes of weights, and how strongly they are applied."""

    file: Path
    scale: float


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are present and have the right length.

    Attributes:
        folder: the folder with `model_index.json`.
        weights: the safetensors files of each of `WEIGHTS`.
        revision: identifies the weights: the commit of a download from the hub, or else a digest
            (`sha256:` and 16 digits) of the configuration, the tokenizer, and evenly spaced
            samples of 2 MiB in total from each weights file, or the whole file if it is smaller.
            With LoRAs, `+lora:` and 16 digits follow.
        loras: what is added to the weights of the transformer.
    """

    folder: Path
    weights: dict[str, tuple[Path, ...]]
    revision: str
    loras: tuple[Lora, ...] = ()


def locate_checkpoint(model: str) -> Checkpoint:
    """Find and validate `model`, which is a folder or a hub id (`owner/name`).

    A model on the hub is downloaded, unless it is in the hub's cache.

    Raises:
        CheckpointError: there is no such checkpoint, or it can't be used.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        if not _HUB_ID.fullmatch(model):
            raise CheckpointError(f"{model}: no such folder (looked for {folder.absolute()})")
        folder = _download(model)
    _check_index(folder)
    weights = {part: tuple(_weights_files(folder, part)) for part in WEIGHTS}
    return Checkpoint(
        folder=folder,
        weights=weights,
        revision=_revision(folder, [path for part in weights.values() for path in part]),
    )


def _download(model: str) -> Path:
    from diffusers import MochiPipeline  # noqa: PLC0415 - takes seconds, and a folder needs none of it

    try:
        return Path(MochiPipeline.download(model, variant=VARIANT, use_safetensors=True))
    except ValueError:  # the repository has no such variant
        return Path(MochiPipeline.download(model, use_safetensors=True))
    except Exception as error:
        raise CheckpointError(
            f"{model}: not a local folder, and can't be downloaded from the hub "
            f"({type(error).__name__})"
        ) from error


def _check_index(folder: Path) -> None:
    index = _read_json(folder / "model_index.json")
    if index.get("_class_name") != PIPELINE:
        raise CheckpointError(
            f"{folder}: is a {index.get('_class_name')}, but this engine only runs a {PIPELINE}"
        )


def _weights_files(folder: Path, part: str) -> list[Path]:
    """The files with the weights of `part`, after checking the length of each."""
    files = sorted((folder / part).glob("*.safetensors"))
    chosen = [path for path in files if f".{VARIANT}" in path.name] or files
    if not chosen:
        raise CheckpointError(f"{folder / part}: has no *.safetensors file")
    for index in (folder / part).glob("*.safetensors.index*.json"):
        if (f".{VARIANT}" in index.name) == (f".{VARIANT}" in chosen[0].name):
            # Another revision with different shards may have left its files behind.
            names = sorted(set(_read_json(index).get("weight_map", {}).values()))
            if not names:
                raise CheckpointError(f"{index}: names no file")
            chosen = [folder / part / name for name in names]
            for path in chosen:
                if not path.is_file():
                    raise CheckpointError(f"{path}: is missing")
    for path in chosen:
        check_length(path)
    return chosen


def check_length(path: Path) -> None:
    """Return if a safetensors file is as long as its header says.

    Raises:
        CheckpointError: it is not, or has no such header.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0  # noqa: PLR2004 - a uint64
        if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):  # noqa: PLR2004 - '{}'
            raise CheckpointError(f"{path}: is truncated, or not a safetensors file")
        try:
            tensors: dict[str, Any] = json.loads(file.read(length))
            end = max(t["data_offsets"][1] for n, t in tensors.items() if n != "__metadata__")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: has no readable safetensors header") from error
    if size != 8 + length + end:
        raise CheckpointError(f"{path}: is truncated ({size} of {8 + length + end} bytes)")


def _revision(folder: Path, weights: list[Path]) -> str:
    if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name):
        return folder.name  # in the hub's cache, folders are named by commit
    digest = hashlib.sha256()
    patterns = ("*.json", "*/*.json", "tokenizer/*")
    for path in sorted({*weights, *(path for glob in patterns for path in folder.glob(glob))}):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder)} {size}\n".encode())
        with path.open("rb") as file:
            if size <= SAMPLES * SAMPLE_BYTES:
                digest.update(file.read())
                continue
            for sample in range(SAMPLES):
                # The first sample is the start of the header; the last one is the end of the file.
                file.seek((size - SAMPLE_BYTES) * sample // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return f"sha256:{digest.hexdigest()[:16]}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: is missing") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: is not JSON") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: is not a JSON object")
    return content
