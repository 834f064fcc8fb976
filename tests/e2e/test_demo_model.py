"""The demo model follows its prompts: a video shows what its prompt describes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from demo.recognition import recognize
from demo.scenes import COLOURS
from tests.e2e.client import Client

FRAMES = 13


def _video(client: Client, prompt: str, seed: int = 7, **fields: Any) -> NDArray[np.uint8]:
    video_id = client.create(prompt=prompt, seed=seed, num_frames=FRAMES, **fields)["id"]
    client.wait(video_id, "completed")
    return client.frames(video_id)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (
            "a red circle moving right on a black background",
            {"colour": "red", "shape": "circle", "direction": "right", "background": "black"},
        ),
        (
            "On a white background, a blue square floating upwards.",
            {"colour": "blue", "shape": "square", "direction": "up", "background": "white"},
        ),
        (
            "drifting down and to the left, a golden triangle over a dark background",
            {"colour": "yellow", "shape": "triangle", "direction": "down left",
             "background": "black"},
        ),
    ],
)  # fmt: skip
def test_a_video_shows_what_its_prompt_describes(
    client: Client, prompt: str, expected: dict[str, str]
) -> None:
    """The seed is fixed, so that only the prompt differs."""
    assert recognize(_video(client, prompt)) == expected


def test_a_seed_determines_the_video(client: Client) -> None:
    """The same seed gives the same frames; another seed gives another video of the same prompt."""
    prompt = "a green square moving down on a black background"
    first, again, other = (_video(client, prompt, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert recognize(first) == recognize(other)


def test_the_negative_prompt_excludes_its_colour(client: Client) -> None:
    """If the prompt names no colour, the negative prompt excludes the one that it would get."""
    prompt = "a square moving left on a black background"
    colour = recognize(_video(client, prompt))["colour"]
    assert colour in COLOURS
    assert recognize(_video(client, prompt, negative_prompt=colour))["colour"] != colour


def test_guidance_makes_videos_follow_the_prompt(client: Client) -> None:
    """With guidance a cross has arms; without it, it is the blob that all shapes have in common."""

    def crosses(scale: float) -> int:
        prompt = "a red cross moving right on a white background"
        videos = [_video(client, prompt, seed, guidance_scale=scale) for seed in range(4)]
        return sum(recognize(video)["shape"] == "cross" for video in videos)

    assert crosses(9.0) >= crosses(0.0) + 3
