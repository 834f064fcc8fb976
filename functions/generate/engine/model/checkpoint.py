"""Find a checkpoint and check it, without torch and without reading its weights.

A wrong folder or a copy that was cut off is found here in milliseconds, with a message that names
the file, instead of after minutes of loading, with one that names a tensor.
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
# genmo/mochi-1-preview holds its weights twice, in fp32 and as this variant at half the size.
VARIANT: Final = "bf16"

# A revision reads this much of each file: with headers alone, two fine-tunes would be the same.
SAMPLES: Final = 32
SAMPLE_BYTES: Final = 1 << 16
MAX_HEADER_BYTES: Final = 100_000_000  # the limit of the safetensors library

_HUB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class CheckpointError(Exception):
    """A checkpoint is missing, cut off, or not Mochi's; the message is one line and names it."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that looks whole.

    Attributes:
        folder: where `model_index.json` lies.
        weights: the safetensors files of each of `WEIGHTS`.
        force_zeros_for_empty_prompt: whether an empty prompt counts as no text at all.
        revision: which weights these are: the commit of a download from the hub, else a digest
            (`sha256:` and 16 digits) of the configuration, of the tokenizer, and of 2 MiB of each
            weights file, spread evenly; of all of it where it is smaller.
    """

    folder: Path
    weights: dict[str, tuple[Path, ...]]
    force_zeros_for_empty_prompt: bool
    revision: str


def locate(model: str) -> Checkpoint:
    """Find `model`, which is a folder or a hub id (`owner/name`), and check what is there.

    Raises:
        CheckpointError: there is no such checkpoint, or it can't be used.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        if not _HUB_ID.fullmatch(model):
            raise CheckpointError(f"{model}: no such folder (looked for {folder.absolute()})")
        folder = _download(model)
    index = _checked_index(folder)
    weights = {part: tuple(_weights(folder, part)) for part in WEIGHTS}
    return Checkpoint(
        folder=folder,
        weights=weights,
        force_zeros_for_empty_prompt=bool(index.get("force_zeros_for_empty_prompt", False)),
        revision=_revision(folder, [path for part in weights.values() for path in part]),
    )


def _download(model: str) -> Path:
    from diffusers import MochiPipeline  # noqa: PLC0415 - seconds that a folder does not need

    try:
        return Path(MochiPipeline.download(model, variant=VARIANT, use_safetensors=True))
    except ValueError:  # there is no such variant
        return Path(MochiPipeline.download(model, use_safetensors=True))
    except Exception as error:
        raise CheckpointError(
            f"{model}: neither a folder here nor a model that can be fetched from the hub "
            f"({type(error).__name__})"
        ) from error


def _checked_index(folder: Path) -> dict[str, Any]:
    index = _json(folder / "model_index.json")
    if index.get("_class_name") != PIPELINE:
        raise CheckpointError(
            f"{folder}: is a {index.get('_class_name')}, and this engine runs a {PIPELINE}"
        )
    return index


def _weights(folder: Path, part: str) -> list[Path]:
    """The files that hold the weights of `part`, each checked for its length."""
    files = sorted((folder / part).glob("*.safetensors"))
    chosen = [path for path in files if f".{VARIANT}" in path.name] or files
    if not chosen:
        raise CheckpointError(f"{folder / part}: holds no *.safetensors file")
    for index in (folder / part).glob("*.safetensors.index*.json"):
        if (f".{VARIANT}" in index.name) == (f".{VARIANT}" in chosen[0].name):
            # Another revision may have been split otherwise, and have left its files behind.
            names = sorted(set(_json(index).get("weight_map", {}).values()))
            if not names:
                raise CheckpointError(f"{index}: names no file")
            chosen = [folder / part / name for name in names]
            for path in chosen:
                if not path.is_file():
                    raise CheckpointError(f"{path}: is missing")
    for path in chosen:
        _check_length(path)
    return chosen


def _check_length(path: Path) -> None:
    """Compare a safetensors file's size with what its header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0  # noqa: PLR2004 - a uint64
        if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):  # noqa: PLR2004 - '{}'
            raise CheckpointError(f"{path}: is cut off or no safetensors file")
        try:
            tensors: dict[str, Any] = json.loads(file.read(length))
            end = max(t["data_offsets"][1] for n, t in tensors.items() if n != "__metadata__")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: has no readable safetensors header") from error
    if size != 8 + length + end:
        raise CheckpointError(f"{path}: is cut off ({size} bytes of {8 + length + end})")


def _revision(folder: Path, weights: list[Path]) -> str:
    if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name):
        return folder.name  # the hub's cache names folders so
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
                # The first is the start of the header, the last ends with the file.
                file.seek((size - SAMPLE_BYTES) * sample // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return f"sha256:{digest.hexdigest()[:16]}"


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: is missing") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: is not JSON") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: is not a JSON object")
    return content
