"""What a renderer makes of errors, what it encodes, and what it renders to warm up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from functions.generate.engine.messages import Rendered, RenderJob, Shape
from functions.generate.engine.model.checkpoint import locate_checkpoint
from functions.generate.engine.model.gpu import DeviceLost
from functions.generate.engine.model.mochi import Mochi
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.rendering import Renderer, ReportProgress
from functions.generate.engine.model.warmup import warm_up
from functions.shared.config import Settings
from functions.shared.errors import OutOfMemory
from functions.shared.video.profiles import SigmaSchedule
from tests.demo_engine import DEMO, small_request

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")


@pytest.fixture
def model() -> Mochi:
    return Mochi(locate_checkpoint(str(DEMO)), Ranks(), SigmaSchedule())


def test_a_failed_nccl_connection_is_a_lost_device(
    model: Mochi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed NCCL connection never recovers; after any other error the renderer is usable."""
    renderer = Renderer(model)
    job = RenderJob(small_request(), "video_1", Path("unused"))
    expected: dict[Exception, type[Exception]] = {
        torch.distributed.DistBackendError("NCCL error"): DeviceLost,
        RuntimeError("anything else"): RuntimeError,
        RuntimeError("CUDA error: out of memory"): OutOfMemory,
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"): OutOfMemory,
    }
    errors = iter(expected)

    def fail(*_: Any) -> None:
        raise next(errors)

    monkeypatch.setattr(model, "encode_text", fail)
    for kind in expected.values():
        with pytest.raises(kind):
            renderer.render(job, lambda *_: None)
    assert next(errors, None) is None


def test_an_empty_negative_prompt_is_not_encoded(model: Mochi) -> None:
    """It has no valid token; without guidance there is no negative prompt at all."""
    calls: list[Any] = []
    model.components.text_encoder.register_forward_hook(lambda *call: calls.append(call))
    positive, empty = model.encode_text(small_request())
    assert (len(calls), bool(positive.mask.any()), bool(empty.mask.any())) == (1, True, False)
    assert len(model.encode_text(small_request(negative_prompt="cat"))) == 2
    assert len(calls) == 3
    assert len(model.encode_text(small_request(negative_prompt="cat", guidance_scale=1.0))) == 1


def test_warm_up_renders_every_shape_once(
    model: Mochi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The smallest one also without guidance, and with a negative prompt."""
    renderer = Renderer(model)
    render, seen = renderer.render, []

    def record(job: RenderJob, report_progress: ReportProgress) -> Rendered | None:
        request = job.request
        shape = f"{request.size}x{request.num_frames}"
        seen.append((shape, request.guidance_scale, request.negative_prompt))
        return render(job, report_progress)

    monkeypatch.setattr(renderer, "render", record)
    warm_up(renderer, Shape.parse_all("32x48x13,48x32x7"), tmp_path)
    # The configured shapes come first: the compiler optimizes for the sizes it meets first.
    assert seen == [
        ("32x48x13", 4.5, ""),
        ("48x32x7", 4.5, ""),
        ("16x16x7", 4.5, ""),
        ("16x16x7", 4.5, "warm up"),
        ("16x16x7", 1.0, ""),
    ]
    assert Shape.parse_all(None) == ()
    with pytest.raises(ValidationError, match="engine_warm_up"):
        Settings(engine_warm_up="848x480")


def test_what_is_cut_off_a_prompt_is_told(model: Mochi) -> None:
    """Just as much as does not change the embeddings, and in each prompt that is used."""
    cut = "a " + "very " * 400
    long = small_request(prompt=cut + "red circle", negative_prompt=cut)
    other = small_request(prompt=cut + "blue square", negative_prompt=cut)
    embeddings = [model.encode_text(one)[0].embeddings for one in (long, other)]
    assert torch.equal(*embeddings)
    found = model.find_warnings(long)
    assert [(one.code, one.param) for one in found] == [
        ("prompt_truncated", "prompt"),
        ("prompt_truncated", "negative_prompt"),
    ]
    assert "the first 255 were used, up to '… " in found[0].message
    without = small_request(prompt=cut, negative_prompt=cut, guidance_scale=1.0)
    assert [one.param for one in model.find_warnings(without)] == ["prompt"]


def test_a_prompt_that_just_fits_has_no_warning(model: Mochi) -> None:
    """One more token is cut off."""
    assert model.find_warnings(small_request(prompt="a" + " a" * 254)) == ()
    (found,) = model.find_warnings(small_request(prompt="a" + " a" * 255))
    assert found.message.startswith("prompt has 256 tokens; the first 255 were used")
