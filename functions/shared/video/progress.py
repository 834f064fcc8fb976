"""How far a video is: one percentage over all stages, which only ever grows."""

from __future__ import annotations

from typing import Final

UPLOADING: Final = "uploading"

# Shares of the whole time, in percent, in the order of the stages. Denoising takes nearly all of
# it at every size; the rest is kept visible so that the bar does not seem to stop.
SHARES: Final = {"encoding": 2, "denoising": 86, "decoding": 8, "saving": 2, UPLOADING: 2}


def percent(stage: str, done: int, total: int) -> int:
    """The percentage reached when `done` of `total` parts of `stage` are finished.

    Never 100: that is said by `completed`.
    """
    stages = list(SHARES)
    before = sum(SHARES[name] for name in stages[: stages.index(stage)])
    return min(99, int(before + SHARES[stage] * done / max(total, 1)))


def part_of_stage(stage: str, progress: int) -> float:
    """The part of `stage` that is finished, from 0 to 1, where `percent` said `progress`."""
    stages = list(SHARES)
    before = sum(SHARES[name] for name in stages[: stages.index(stage)])
    return min(1.0, max(0.0, (progress - before) / SHARES[stage]))
