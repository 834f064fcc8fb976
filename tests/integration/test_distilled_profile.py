"""A profile of a distilled checkpoint, as `docs/profiles.md` shows one, with a tiny model."""

from __future__ import annotations

import re

import pytest
import torch

from functions.generate.engine.model.checkpoint import locate_checkpoint
from functions.generate.engine.model.denoising import sigmas_of
from functions.generate.engine.model.mochi import Mochi
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.step_reuse import StepCounts
from functions.shared.errors import InvalidRequest
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest
from local.stack import ROOT
from tests.demo_engine import DEMO

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")


@pytest.fixture
def profile() -> Profile:
    """The example of the documentation."""
    (example,) = re.findall(
        r"```json\n(.+?)```", (ROOT / "docs/profiles.md").read_text(), re.DOTALL
    )
    return Profile.model_validate_json(example)


def _resolve(profile: Profile, **settings: object) -> ResolvedRequest:
    request = VideoRequest.model_validate({"prompt": "a red circle"} | settings)
    return ResolvedRequest.resolve(request, profile, "acme", "video_1")


def test_its_defaults_are_those_of_the_file(profile: Profile) -> None:
    """Eight steps, little guidance, one quality."""
    request = _resolve(profile)
    assert (request.num_inference_steps, request.guidance_scale) == (8, 1.5)
    assert (request.model, request.quality) == ("fast-mochi", "exact")


@pytest.mark.parametrize("settings", [{"num_inference_steps": 6}, {"quality": "fast"}])
def test_it_refuses_what_the_model_can_not_do(
    profile: Profile, settings: dict[str, object]
) -> None:
    """Fewer steps than its schedule has, and a quality that it lacks."""
    (field,) = settings
    with pytest.raises(InvalidRequest) as error:
        _resolve(profile, **settings)
    assert error.value.param == field


def test_its_schedule_is_used(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of a video is at a sigma of the profile, and both branches of guidance run."""
    model = Mochi(locate_checkpoint(str(DEMO)), Ranks(), profile.sigmas, fast=profile.fast)
    seen: list[float] = []
    predict = model._branches.predict

    def record(latents: torch.Tensor, timestep: torch.Tensor, prompts: object) -> object:
        seen.append(float(timestep))
        predictions = predict(latents, timestep, prompts)  # type: ignore[arg-type]  # passed on
        assert len(predictions) == 2
        return predictions

    monkeypatch.setattr(model._branches, "predict", record)
    request, counts = _resolve(profile, size="256x256", num_frames=7), StepCounts()
    model.denoise(request, model.encode_text(request), counts=counts)
    expected = 1000 * sigmas_of(profile.sigmas, 8, torch.device("cpu"))
    assert seen == expected[:-1].tolist()
    assert counts == StepCounts(computed=8, reused=0)
