"""What a video will cost, in seconds by stage, judged by the ones that were made before.

Each stage has a unit of work: a step over one token (and one branch of the guidance) when
denoising, a pixel of a frame when decoding and saving, the whole video otherwise. A video is
expected to take, in each stage, its units times the median of seconds per unit among the most
similar videos known. A median shrugs off outliers; similar ones make up for what is not
proportional, such as attention, which grows with the square of the tokens.
`docs/decisions/eta-from-similar-videos.md` says more.
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

# A model's day; older ones may have been made by another version, or on other machines.
REMEMBERED: Final = 300
SIMILAR: Final = 7
# Another guidance makes two videos as different as this factor (e squared) in their tokens.
OTHER_GUIDANCE: Final = 2.0
# From `started` to `completed` there is a little more than the stages.
REST: Final = "rest"
STAGES: Final = (*SHARES, REST)
# How far one video may be from what was expected before that counts as a stall, or a mistake.
SLOWEST: Final = 5.0
FASTEST: Final = 0.2


@dataclass(frozen=True)
class Work:
    """The size of a video, as far as its cost goes.

    `tokens` are those of the transformer: 16x16 pixels of a latent frame. `pixels` are those of
    all frames.
    """

    model: str
    tokens: int
    steps: int
    guided: bool
    pixels: int

    @classmethod
    def of(cls, request: ResolvedRequest) -> Work:
        """The work that `request` makes."""
        latent_frames = (request.num_frames - 1) // FRAMES_PER_LATENT + 1
        return cls(
            request.model,
            latent_frames * (request.width // 16) * (request.height // 16),
            request.num_inference_steps,
            request.guidance_scale > 1,  # as the pipeline decides it
            request.width * request.height * request.num_frames,
        )

    def units(self, stage: str) -> float:
        """How much there is to do in `stage`."""
        if stage == Stage.DENOISING:
            return float(self.tokens * self.steps * (2 if self.guided else 1))
        return float(self.pixels) if stage in {Stage.DECODING, Stage.SAVING} else 1.0

    def distance(self, other: Work) -> float:
        """0 for the same; 1 for a factor of e in tokens, or in the square of the steps."""
        return (
            abs(math.log(self.tokens / other.tokens))
            + abs(math.log(self.steps / other.steps)) / 2
            + OTHER_GUIDANCE * (self.guided != other.guided)
        )


class Costs:
    """Learns from finished videos. Not thread-safe."""

    def __init__(self) -> None:
        """Know nothing."""
        self._known: deque[tuple[Work, dict[str, float]]] = deque(maxlen=REMEMBERED)
        self._expected: dict[Work, dict[str, float] | None] = {}

    def learn(self, work: Work, timings: Mapping[str, float], whole: float | None) -> None:
        """A video took `timings`, by stage, and `whole` seconds from its start to its end."""
        seconds = {s: t for s, t in timings.items() if s in SHARES and 0 <= t < math.inf}
        if whole is not None:
            seconds[REST] = max(0.0, whole - sum(seconds.values()))
        self._known.append((work, seconds))
        self._expected.clear()

    def expected(self, work: Work) -> dict[str, float] | None:
        """Seconds by stage, in the order of the stages; None if nothing is known."""
        if work not in self._expected:
            self._expected[work] = self._estimate(work)
        return self._expected[work]

    def _estimate(self, work: Work) -> dict[str, float] | None:
        mine = [known for known in reversed(self._known) if known[0].model == work.model]
        similar = nsmallest(SIMILAR, mine, key=lambda known: work.distance(known[0]))
        if not similar:
            return None
        expected = {}
        for stage in STAGES:
            rates = [
                seconds[stage] / other.units(stage)
                for other, seconds in similar
                if stage in seconds
            ]
            expected[stage] = statistics.median(rates) * work.units(stage) if rates else 0.0
        return expected


def remaining(
    expected: Mapping[str, float] | None, stage: Stage, progress: int, elapsed: float | None
) -> float | None:
    """Seconds that a video still needs that has got so far, `elapsed` seconds after its start.

    What is expected of the rest, times the video's own pace: how much slower it was so far than
    expected, which counts for more the further it is. Without an expectation, its own progress
    alone; None if that says nothing either.
    """
    if expected is None:
        return elapsed * (100 - progress) / progress if elapsed and progress else None
    whole = sum(expected.values())
    stages = list(expected)
    done = sum(expected[name] for name in stages[: stages.index(stage)])
    done += expected[stage] * part_of_stage(stage, progress)
    if elapsed is None or done <= 0 or whole <= 0:
        return whole - done
    pace = min(SLOWEST, max(FASTEST, elapsed / done))
    return (whole - done) * (1 + done / whole * (pace - 1))
