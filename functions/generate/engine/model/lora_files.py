"""Finds LoRAs, and identifies them. Imports no torch."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Final

from functions.generate.engine.model.checkpoint import (
    Checkpoint,
    CheckpointError,
    Lora,
    check_length,
)

_DIGITS: Final = 16


def add_loras(checkpoint: Checkpoint, setting: str | None) -> Checkpoint:
    """The checkpoint with the LoRAs of `setting`, comma-separated `PATH:SCALE`.

    Its revision then ends with a digest of their files and scales.

    Raises:
        CheckpointError: a file is missing or truncated.
    """
    if not setting:
        return checkpoint
    loras = tuple(_locate(one.strip()) for one in setting.split(","))
    digest = hashlib.sha256()
    for lora in loras:
        with lora.file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
        digest.update(f"{lora.scale:g}\n".encode())
    revision = f"{checkpoint.revision}+lora:{digest.hexdigest()[:_DIGITS]}"
    return replace(checkpoint, loras=loras, revision=revision)


def _locate(text: str) -> Lora:
    path, _, scale = text.rpartition(":")
    file = Path(path).expanduser()
    if file.is_dir():
        found = sorted(file.glob("*.safetensors"))
        if len(found) != 1:
            raise CheckpointError(
                f"{file}: has {len(found)} *.safetensors files; name one file of them in LORAS"
            )
        file = found[0]
    if not file.is_file():
        raise CheckpointError(
            f"{file}: no such LoRA; correct its path in LORAS, or mount its volume"
        )
    check_length(file)
    return Lora(file, float(scale))
