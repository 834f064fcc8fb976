"""The demo checkpoint in the repository was trained: its videos show what prompts say."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from diffusers import MochiPipeline

from demo import evaluate
from demo.batches import OFFERED
from functions.shared.video.profiles import load_profile
from tests.two_ranks import DEMO

pytestmark = pytest.mark.usefixtures("one_thread")
# Three of each length.
VIDEOS = 12
# Shapes are what it is least sure of; by chance, three would be right.
SHAPES = 8


@pytest.fixture(scope="module")
def pipeline() -> Any:
    """The checkpoint as it is shipped."""
    loaded = MochiPipeline.from_pretrained(DEMO, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.mark.parametrize(("width", "height"), OFFERED)
def test_prompts_that_no_training_saw_are_shown(pipeline: Any, width: int, height: int) -> None:
    """Combinations and phrasings held out; the README has the shares of many more."""
    right = evaluate.score(pipeline, width, height, VIDEOS, seed=1)
    assert right["colour"] >= VIDEOS - 1
    assert right["background"] >= VIDEOS - 1
    assert right["direction"] >= VIDEOS - 1
    assert right["shape"] >= SHAPES


def test_a_default_video_takes_seconds(pipeline: Any) -> None:
    """Three of a single core's at most, also where other tests are running."""
    profile = load_profile("demo")
    size = (profile.width.default, profile.height.default)
    began = time.process_time()
    evaluate.make(pipeline, ["a red circle"], *size, profile.num_frames.default, seed=1)
    assert time.process_time() - began < 3
