"""The clips that the demo model is trained on, and the recognition of scenes in its videos."""

from __future__ import annotations

import random
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import Tensor

from demo.clips import render
from demo.recognition import Frames, recognize
from demo.scenes import Scene, list_scenes, sample_scenes
from demo.training_data import PROFILE_SIZES
from functions.shared.video.profiles import load_profile

pytestmark = pytest.mark.usefixtures("one_thread")
SOME = sample_scenes(
    random.Random(3), [*list_scenes(held_out=False), *list_scenes(held_out=True)], 40
)


def drawn(chosen: list[Scene], width: int, height: int, frames: int, seed: int = 1) -> Tensor:
    """Clips of the scenes `chosen`."""
    return render(chosen, width, height, frames, torch.Generator().manual_seed(seed))


def pixels(clip: Tensor) -> Frames:
    """A clip as a video decoder returns it: frames x height x width x 3 bytes."""
    return ((clip.permute(1, 2, 3, 0).numpy() + 1) * 127.5).round().astype(np.uint8)


@pytest.mark.parametrize(("width", "height"), PROFILE_SIZES)
# Every second scene still has all colours, shapes, directions and backgrounds.
@pytest.mark.parametrize(("frames", "scenes"), [(7, SOME), (25, SOME[::2])], ids=[7, 25])
def test_every_clip_is_recognized(
    width: int, height: int, frames: int, scenes: list[Scene]
) -> None:
    """Synthetic clips give no errors, so errors in an evaluation are the model's."""
    for scene, clip in zip(scenes, drawn(scenes, width, height, frames), strict=True):
        assert recognize(pixels(clip)) == asdict(scene)


def test_a_blank_video_has_no_shape() -> None:
    """Only its background is recognized, which matches no prompt."""
    blank = np.full((13, 64, 96, 3), 20, np.uint8)
    found = recognize(blank)
    assert found == {"background": "black", "colour": None, "shape": None, "direction": None}


def test_a_still_shape_has_no_direction() -> None:
    """A shape that does not move has no direction."""
    first = pixels(drawn([Scene("red", "circle", "left", "white")], 96, 64, 13)[0])[:1]
    assert recognize(np.repeat(first, 13, axis=0))["direction"] is None


def test_a_shape_stays_within_its_clip() -> None:
    """Circles and squares touch the border with their soft edges at most."""
    compact = [scene for scene in SOME if scene.shape in {"circle", "square"}]
    for clip in drawn(compact, 96, 64, 19):
        edges = (clip[:, :, 0], clip[:, :, -1], clip[..., 0], clip[..., -1])
        border = torch.cat(edges, dim=-1)
        behind = border.median(dim=-1, keepdim=True).values
        assert ((border - behind).abs().amax(0) > 0.5).float().mean() < 0.02


def test_a_seed_determines_a_clip() -> None:
    """The same seed renders the same clip; another seed places the same scene elsewhere."""
    first, again, other = (drawn(SOME[:1], 96, 64, 13, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_sizes_of_the_profile_are_trained_and_evaluated() -> None:
    """The sizes that the page offers are those that training samples most and evaluation scores."""
    assert [f"{width}x{height}" for width, height in PROFILE_SIZES] == list(
        load_profile("demo").sizes
    )
