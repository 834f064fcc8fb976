"""The stages of an attempt, and its progress: one percentage over all stages."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Stage(StrEnum):
    """The stages of an attempt, in order; events and the API have their values."""

    ENCODING = "encoding"  # the text, by T5
    DENOISING = "denoising"  # steps of the transformer
    DECODING = "decoding"  # latents to frames, by the VAE, and frames to H.264
    SAVING = "saving"  # closes the video file, and writes the thumbnail and the spritesheet
    UPLOADING = "uploading"  # all files, to the object store


# The engine renders; the worker uploads what it has rendered.
ENGINE_STAGES: Final = tuple(stage for stage in Stage if stage is not Stage.UPLOADING)

# In percent. Denoising takes nearly all of the time at every size; the other stages get enough for
# the progress bar to move.
SHARES: Final = {
    Stage.ENCODING: 2,
    Stage.DENOISING: 86,
    Stage.DECODING: 8,
    Stage.SAVING: 2,
    Stage.UPLOADING: 2,
}


def percent(stage: Stage, done: int, total: int) -> int:
    """The percentage once `done` of `total` parts of `stage` are finished.

    Never 100, which is reserved for `completed`.
    """
    return min(99, int(_before(stage) + SHARES[stage] * done / max(total, 1)))


def part_of_stage(stage: Stage, progress: int) -> float:
    """The finished part of `stage`, from 0 to 1: the inverse of `percent`."""
    return min(1.0, max(0.0, (progress - _before(stage)) / SHARES[stage]))


def _before(stage: Stage) -> int:
    stages = list(Stage)
    return sum(SHARES[earlier] for earlier in stages[: stages.index(stage)])
