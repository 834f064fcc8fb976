"""How long a video is expected to take, in seconds per stage, estimated from completed videos.

Each stage has a unit of work: one token in one step (and one branch of the guidance) for denoising,
one pixel of one frame for decoding and saving, the whole video for the other stages. A stage's
estimate is its units of work times the median of seconds per unit among the most similar completed
videos. The median discards outliers; similarity accounts for costs that are not proportional, such
as attention, which grows with the square of the tokens.
`docs/decisions/eta-from-similar-videos.md` explains the choice.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from functions.shared.video.profiles import FRAMES_PER_LATENT
from functions.shared.video.progress import SHARES, Stage, part_of_stage
from functions.shared.video.requests import ResolvedRequest

# About a day's videos; older ones may come from another version or from other machines.
MAX_SAMPLES: Final = 300
NEIGHBOURS: Final = 7
# Different guidance counts as much as tokens that differ by a factor of e squared, and so does
# different quality.
GUIDANCE_DISTANCE: Final = 2.0
QUALITY_DISTANCE: Final = 2.0
# From `started` to `completed`, a little time is spent outside all stages.
OVERHEAD: Final = "overhead"
PHASES: Final = (*SHARES, OVERHEAD)
# Bounds for a video's pace, as elapsed over expected time; beyond them, the video has stalled or
# the expectation is wrong.
MAX_PACE: Final = 5.0
MIN_PACE: Final = 0.2


@dataclass(frozen=True)
class Work:
    """What determines the cost of a video.

    Attributes:
        model: the model's name.
        tokens: the transformer's tokens, each 16x16 pixels of a latent frame.
        steps: denoising steps.
        guided: whether guidance is on, which doubles the work of each step.
        pixels: the pixels of all frames.
        fast: whether steps may be reused; how many are shows only afterwards.
    """

    model: str
    tokens: int
    steps: int
    guided: bool
    pixels: int
    fast: bool = False

    @classmethod
    def of(cls, request: ResolvedRequest) -> Work:
        """The work of rendering `request`."""
        latent_frames = (request.num_frames - 1) // FRAMES_PER_LATENT + 1
        return cls(
            request.model,
            latent_frames * (request.width // 16) * (request.height // 16),
            request.num_inference_steps,
            request.guidance_scale > 1,  # the pipeline's own criterion
            request.width * request.height * request.num_frames,
            fast=request.quality == "fast",
        )

    def units(self, phase: str) -> float:
        """The units of work in `phase`, one of `PHASES`."""
        if phase == Stage.DENOISING:
            return float(self.tokens * self.steps * (2 if self.guided else 1))
        return float(self.pixels) if phase in {Stage.DECODING, Stage.SAVING} else 1.0

    def distance(self, other: Work) -> float:
        """0 for equal work; 1 for a factor of e in the tokens, or of e squared in the steps."""
        return (
            abs(math.log(self.tokens / other.tokens))
            + abs(math.log(self.steps / other.steps)) / 2
            + GUIDANCE_DISTANCE * (self.guided != other.guided)
            + QUALITY_DISTANCE * (self.fast != other.fast)
        )


class CostModel:
    """Estimates from the latest completed videos. Not thread-safe."""

    def __init__(self) -> None:
        """Start without samples."""
        self._samples: deque[tuple[Work, dict[str, float]]] = deque(maxlen=MAX_SAMPLES)
        self._estimates: dict[Work, dict[str, float] | None] = {}

    def add_sample(self, work: Work, timings: Mapping[str, float], total: float | None) -> None:
        """Add a completed video.

        Args:
            work: its work.
            timings: seconds by stage; values that can't be true are dropped.
            total: seconds from `started` to `completed`; None if unknown.
        """
        seconds = {s: t for s, t in timings.items() if s in SHARES and 0 <= t < math.inf}
        if total is not None:
            seconds[OVERHEAD] = max(0.0, total - sum(seconds.values()))
        self._samples.append((work, seconds))
        self._estimates.clear()

    def expected_seconds(self, work: Work) -> dict[str, float] | None:
        """Expected seconds for each of `PHASES`, in order; None without samples of the model."""
        if work not in self._estimates:
            self._estimates[work] = self._estimate(work)
        return self._estimates[work]

    def _estimate(self, work: Work) -> dict[str, float] | None:
        same_model = [sample for sample in reversed(self._samples) if sample[0].model == work.model]
        similar = nsmallest(NEIGHBOURS, same_model, key=lambda sample: work.distance(sample[0]))
        if not similar:
            return None
        expected = {}
        for phase in PHASES:
            rates = [
                seconds[phase] / other.units(phase)
                for other, seconds in similar
                if phase in seconds
            ]
            expected[phase] = statistics.median(rates) * work.units(phase) if rates else 0.0
        return expected


def remaining_seconds(
    expected: Mapping[str, float] | None, stage: Stage, progress: int, elapsed: float | None
) -> float | None:
    """How long a running video still takes.

    The expected time of what remains is scaled by the video's own pace, which is elapsed over
    expected time so far and weighs more the further the video is. Without an expectation, the
    progress is extrapolated.

    Args:
        expected: seconds by phase, as `CostModel.expected_seconds` returns them.
        stage: the current stage.
        progress: percent of the whole video.
        elapsed: seconds since the attempt started; None if unknown.

    Returns:
        Seconds; None without an expectation, elapsed time or progress to extrapolate.
    """
    if expected is None:
        return elapsed * (100 - progress) / progress if elapsed and progress else None
    total = sum(expected.values())
    phases = list(expected)
    done = sum(expected[name] for name in phases[: phases.index(stage)])
    done += expected[stage] * part_of_stage(stage, progress)
    if elapsed is None or done <= 0 or total <= 0:
        return total - done
    pace = min(MAX_PACE, max(MIN_PACE, elapsed / done))
    return (total - done) * (1 + done / total * (pace - 1))
