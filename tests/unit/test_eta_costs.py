"""What a video is expected to cost, and how long a running one still takes."""

from __future__ import annotations

import dataclasses

import pytest

from functions.shared.video.costs import CostModel, Work, remaining_seconds
from functions.shared.video.progress import Stage


def _work(tokens: int = 120, steps: int = 16, *, guided: bool = True) -> Work:
    return Work("m", tokens, steps, guided, tokens * 256)


def test_the_pace_of_a_slow_video_weighs_more_the_further_it_is() -> None:
    """At half the expected speed: early on a little late, near the end twice as late."""
    expected = {"denoising": 100.0}
    early = remaining_seconds(expected, Stage.DENOISING, 2 + 8, 0.1 * 200)
    late = remaining_seconds(expected, Stage.DENOISING, 2 + 77, 0.9 * 200)
    assert early is not None
    assert late is not None
    assert 90 < early < 120
    assert 17 < late < 22


def test_the_cost_is_estimated_from_similar_videos() -> None:
    """In proportion to steps and tokens; outliers and other sizes have no influence."""
    costs = CostModel()
    for tokens in (60, 120, 480):
        for _ in range(7):
            # Seconds per token grow with the number of tokens, as they do with attention.
            costs.add_sample(_work(tokens), {"denoising": 0.001 * tokens * tokens}, None)
    for _ in range(3):
        costs.add_sample(_work(120), {"denoising": 900.0}, None)
    expected = costs.expected_seconds(_work(120, steps=32))
    assert expected is not None
    assert expected["denoising"] == pytest.approx(2 * 0.001 * 120 * 120)
    assert costs.expected_seconds(dataclasses.replace(_work(), model="other")) is None


def test_fast_videos_are_estimated_from_fast_ones() -> None:
    """How many steps they reuse is not known before; exact videos tell nothing of it."""
    costs = CostModel()
    for fast, seconds in ((False, 10.0), (True, 4.0)):
        for _ in range(7):
            work = dataclasses.replace(_work(), fast=fast)
            costs.add_sample(work, {"denoising": seconds}, None)
    expected = costs.expected_seconds(dataclasses.replace(_work(steps=32), fast=True))
    assert expected is not None
    assert expected["denoising"] == pytest.approx(8)


def test_the_cost_of_guidance_is_measured_once_both_kinds_are_known() -> None:
    """Guidance doubles the work by default; samples without guidance override that."""
    costs = CostModel()
    costs.add_sample(_work(guided=True), {"denoising": 10.0}, None)
    by_default = costs.expected_seconds(_work(guided=False))
    for _ in range(7):
        costs.add_sample(_work(guided=False), {"denoising": 9.0}, None)
    measured = costs.expected_seconds(_work(guided=False))
    assert by_default is not None
    assert measured is not None
    assert (by_default["denoising"], measured["denoising"]) == (5.0, 9.0)
