"""Quality `fast`: steps that reuse what an earlier one computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from functions.generate.engine.messages import RenderJob
from functions.generate.engine.model.checkpoint import locate_checkpoint
from functions.generate.engine.model.mochi import Mochi
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.rendering import Renderer
from functions.generate.engine.model.step_reuse import StepCounts
from functions.shared.video.profiles import FastMode, SigmaSchedule, load_profile
from tests.demo_engine import DEMO, small_request

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")

STEPS = 16
REUSES_NOTHING = 1e-12
SETTINGS: list[dict[str, Any]] = [{}, {"negative_prompt": "a cat"}, {"guidance_scale": 1.0}]


@pytest.fixture(scope="module")
def models() -> dict[float, Mochi]:
    """The demo by `max_change`."""
    return {
        max_change: Mochi(
            locate_checkpoint(str(DEMO)),
            Ranks(),
            SigmaSchedule(),
            fast=FastMode(max_change=max_change),
        )
        for max_change in (REUSES_NOTHING, _max_change())
    }


def _max_change() -> float:
    fast = load_profile("demo").fast
    assert fast is not None
    return fast.max_change


def _latents(model: Mochi, quality: str, **settings: Any) -> tuple[Tensor, StepCounts]:
    counts = StepCounts()
    request = small_request(num_inference_steps=STEPS, quality=quality, **settings)
    return model.denoise(request, model.encode_text(request), counts=counts), counts


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_video_that_reuses_no_step_has_the_exact_bits(
    models: dict[float, Mochi], settings: dict[str, Any]
) -> None:
    """The transformer cut after its first block computes what it computes in one piece."""
    exact, every = _latents(models[REUSES_NOTHING], "exact", **settings)
    latents, counts = _latents(models[REUSES_NOTHING], "fast", **settings)
    assert torch.equal(latents, exact)
    assert counts == every == StepCounts(computed=STEPS, reused=0)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_fast_video_is_nearly_the_exact_one(
    models: dict[float, Mochi], settings: dict[str, Any]
) -> None:
    """With the demo's own threshold, some steps are reused, and the latents hardly differ."""
    model = models[_max_change()]
    exact, _ = _latents(model, "exact", **settings)
    latents, counts = _latents(model, "fast", **settings)
    assert counts.computed + counts.reused == STEPS
    assert counts.reused > 0
    assert 0 < (latents - exact).norm() / exact.norm() < 0.05


def test_a_reused_step_runs_one_block(models: dict[float, Mochi]) -> None:
    """For each branch; the others run in steps that are computed."""
    model, calls = models[_max_change()], [0, 0]
    blocks = model.components.transformer.transformer_blocks
    hooks = [
        blocks[at].register_forward_hook(lambda *_, at=at: calls.__setitem__(at, calls[at] + 1))
        for at in (0, 1)
    ]
    try:
        _, counts = _latents(model, "fast")
    finally:
        for hook in hooks:
            hook.remove()
    assert calls == [2 * STEPS, 2 * counts.computed]


def test_each_video_starts_anew(models: dict[float, Mochi]) -> None:
    """Nothing of an earlier video is reused."""
    model = models[_max_change()]
    first, _ = _latents(model, "fast", seed=1)
    _latents(model, "fast", seed=2, size="64x64")
    again, _ = _latents(model, "fast", seed=1)
    assert torch.equal(again, first)


def test_the_engine_reports_the_quality_and_the_steps(
    models: dict[float, Mochi], tmp_path: Path
) -> None:
    """Of either quality."""
    renderer = Renderer(models[_max_change()])
    for quality in ("exact", "fast"):
        request = small_request(num_inference_steps=STEPS, quality=quality)
        rendered = renderer.render(RenderJob(request, "video_1", tmp_path), lambda *_: None)
        assert rendered is not None
        engine = rendered.engine
        assert engine.quality == quality
        assert engine.steps_computed + engine.steps_reused == STEPS
        assert (engine.steps_reused > 0) == (quality == "fast")
