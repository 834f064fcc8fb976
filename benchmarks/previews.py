"""What previews cost a render, in processor time, beside the same render without them.

    python -m benchmarks.previews [--rounds 3]
    python -m benchmarks.previews --smoke     # one short video, which is too short for a preview

Uses the demo model on one thread. Renders without previews, with one every ten seconds at most, and
with one every second at most, in turns; the last asks for more than a hundredth of the time allows.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from functions.generate.engine.messages import PreviewLimits, RenderJob
from functions.generate.engine.model.checkpoint import locate_checkpoint
from functions.generate.engine.model.mochi import Mochi
from functions.generate.engine.model.previews import VideoPreviews
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.rendering import Renderer
from functions.generate.engine.model.warmup import warm_up
from functions.shared.video.profiles import load_profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest
from local.stack import DEFAULT_MODEL, ROOT

# Size, frames and steps.
VIDEOS: Final = (("96x64", 25, 16), ("96x64", 25, 200), ("160x96", 37, 200))
# Seconds between two previews at least; 0 is the baseline.
INTERVALS: Final = (0.0, 10.0, 1.0)


@dataclass
class Costs:
    """Of the renders of one video with one interval.

    Attributes:
        renders: processor seconds of each render.
        previews: processor seconds of all previews of each render, and of deciding about them.
        numbers: how many previews each render had.
    """

    renders: list[float] = field(default_factory=list)
    previews: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


class Measured:
    """A renderer that measures what its previews cost."""

    def __init__(self, model: Mochi, seconds: float, scratch: Path) -> None:
        self._renderer = Renderer(model, PreviewLimits(seconds))
        self._scratch = scratch
        warm_up(self._renderer, (), scratch)
        self._of_video = self._renderer.previewer.of_video
        self._renderer.previewer.of_video = self._measured  # type: ignore[method-assign]  # adds
        self._number, self._spent = 0, 0.0

    def _measured(self) -> VideoPreviews:
        video = self._of_video()
        after_step = video.after_step

        def measured(done: int, total: int, estimate: Callable[[], Tensor]) -> bytes | None:
            began = time.process_time()
            picture = after_step(done, total, estimate)
            self._spent += time.process_time() - began
            self._number += picture is not None
            return picture

        video.after_step = measured  # type: ignore[method-assign]  # the same
        return video

    def render(self, request: ResolvedRequest, costs: Costs) -> bytes:
        """Render a video, and add what it cost to `costs`; returns the file."""
        self._number, self._spent = 0, 0.0
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            began = time.process_time()
            rendered = self._renderer.render(
                RenderJob(request, "benchmark", Path(folder)), lambda *_: None
            )
            costs.renders.append(time.process_time() - began)
            costs.previews.append(self._spent)
            costs.numbers.append(self._number)
            assert rendered is not None
            return rendered.video.read_bytes()


def main() -> None:
    """Print a row for each video and interval."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = Mochi(
        locate_checkpoint(str(ROOT / DEFAULT_MODEL)), Ranks(), load_profile("demo").sigmas
    )
    print("| video | steps | a preview every | previews | render, s | of the baseline | previews, s"
          " | of the render |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        renderers = {seconds: Measured(model, seconds, Path(scratch)) for seconds in INTERVALS}
        for size, frames, steps in VIDEOS[:1] if options.smoke else VIDEOS:
            wanted = VideoRequest(
                prompt="a red circle moving right",
                size=size,
                num_frames=frames,
                num_inference_steps=steps,
                seed=7,
            )
            request = ResolvedRequest.resolve(wanted, load_profile("demo"), "bench", "video_1")
            costs = _measure(renderers, request, 1 if options.smoke else options.rounds)
            _print_rows(f"{size}, {frames} frames", steps, costs)


def _measure(
    renderers: dict[float, Measured], request: ResolvedRequest, rounds: int
) -> dict[float, Costs]:
    """Render in turns, so that what slows the machine slows all; the files must be equal."""
    costs = {seconds: Costs() for seconds in renderers}
    for number in range(rounds):
        order: Sequence[float] = [*renderers][:: -1 if number % 2 else 1]
        files = {renderers[seconds].render(request, costs[seconds]) for seconds in order}
        if len(files) != 1:
            raise SystemExit("previews have changed the file")
    return costs


def _print_rows(video: str, steps: int, costs: dict[float, Costs]) -> None:
    # The shortest: other programs only make a render longer.
    baseline = min(costs[0.0].renders)
    for seconds, one in costs.items():
        render, previews = min(one.renders), statistics.median(one.previews)
        every = f"{seconds:g} s" if seconds else "none"
        print(
            f"| {video} | {steps} | {every} | {statistics.median(one.numbers):g} | {render:.2f} "
            f"| {render / baseline:.1%} | {previews:.3f} | {previews / render:.2%} |"
        )


if __name__ == "__main__":
    main()
