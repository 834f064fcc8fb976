"""The clips that the demo model learns from, and the judge that reads its videos."""

from __future__ import annotations

import random
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import Tensor

from demo.batches import OFFERED
from demo.clips import render
from demo.judge import Frames, judge
from demo.scenes import Scene, draw, scenes
from functions.shared.video.profiles import load_profile

SOME = draw(random.Random(3), [*scenes(held_out=False), *scenes(held_out=True)], 40)


def drawn(chosen: list[Scene], width: int, height: int, frames: int, seed: int = 1) -> Tensor:
    """Clips of `chosen`."""
    return render(chosen, width, height, frames, torch.Generator().manual_seed(seed))


def pixels(clip: Tensor) -> Frames:
    """A clip as a decoder of files gives it."""
    return ((clip.permute(1, 2, 3, 0).numpy() + 1) * 127.5).round().astype(np.uint8)


@pytest.mark.parametrize(("width", "height"), OFFERED)
@pytest.mark.parametrize("frames", [7, 25])
def test_the_judge_reads_every_clip(width: int, height: int, frames: int) -> None:
    """What it says of a video is right if the video is: its verdicts are the model's."""
    for scene, clip in zip(SOME, drawn(SOME, width, height, frames), strict=True):
        assert judge(pixels(clip)) == asdict(scene)


def test_the_judge_sees_that_nothing_is_there() -> None:
    """A blank video has a background and no shape, which no prompt asks for."""
    blank = np.full((13, 64, 96, 3), 20, np.uint8)
    seen = judge(blank)
    assert seen == {"background": "black", "colour": None, "shape": None, "direction": None}


def test_the_judge_sees_that_nothing_moves() -> None:
    """A shape that stands still goes nowhere."""
    first = pixels(drawn([Scene("red", "circle", "left", "white")], 96, 64, 13)[0])[:1]
    assert judge(np.repeat(first, 13, axis=0))["direction"] is None


def test_a_shape_stays_within_its_clip() -> None:
    """Circles and squares touch the border with their soft edges, and do not cross it."""
    compact = [scene for scene in SOME if scene.shape in {"circle", "square"}]
    for clip in drawn(compact, 96, 64, 19):
        edges = (clip[:, :, 0], clip[:, :, -1], clip[..., 0], clip[..., -1])
        border = torch.cat(edges, dim=-1)
        behind = border.median(dim=-1, keepdim=True).values
        assert ((border - behind).abs().amax(0) > 0.5).float().mean() < 0.02


def test_a_seed_draws_a_clip() -> None:
    """The same seed draws the same, another one the same scene elsewhere."""
    first, again, other = (drawn(SOME[:1], 96, 64, 13, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_sizes_of_the_profile_are_trained_and_evaluated() -> None:
    """What the page offers is what the model has learned most."""
    assert [f"{width}x{height}" for width, height in OFFERED] == list(load_profile("demo").sizes)
