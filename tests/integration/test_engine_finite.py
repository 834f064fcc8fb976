"""A damaged weight or device never ends as a completed video that is black."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from functions.generate.engine.messages import RenderJob
from functions.generate.engine.model.checkpoint import CheckpointError, locate_checkpoint
from functions.generate.engine.model.checksums import verify_checksums
from functions.generate.engine.model.mochi import Mochi
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.rendering import Renderer
from functions.generate.engine.parent.engine import Engine
from functions.shared.errors import NotFinite
from functions.shared.video.profiles import SigmaSchedule
from tests.demo_engine import DEMO, HANG_SECONDS, START_SECONDS, small_request

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad", "forked_engines")

DIT = "transformer/diffusion_pytorch_model.safetensors"
NAN = float("nan")
# The largest power of ten in bf16: finite in the file, infinite once it is squared.
HUGE = 1e38


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the demo checkpoint that a test may damage."""
    return Path(shutil.copytree(DEMO, tmp_path / "model"))


def set_weight(checkpoint: Path, name: str, value: float) -> None:
    """Write `value` over the tensor `name` of the transformer."""
    tensors = load_file(checkpoint / DIT)
    tensors[name].fill_(value)
    save_file(tensors, checkpoint / DIT)


def damaged(module: Callable[[Mochi], Any], value: float) -> Renderer:
    """A renderer with a weight that changed after it was loaded, as on a faulty device."""
    model = Mochi(locate_checkpoint(str(DEMO)), Ranks(), SigmaSchedule())
    weight = next(module(model).parameters())
    weight.fill_(value)
    return Renderer(model)


@pytest.mark.parametrize(
    ("stage", "module"),
    [
        ("encoding", lambda model: model.components.text_encoder),
        ("denoising", lambda model: model.components.transformer),
        ("decoding", lambda model: model.components.vae.decoder),
    ],
)
@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_an_attempt_without_finite_values_fails(
    tmp_path: Path, stage: str, module: Callable[[Mochi], Any], value: float
) -> None:
    """It can be retried, names the stage, and leaves no video file."""
    renderer = damaged(module, value)
    job = RenderJob(small_request(num_inference_steps=2), "video_1", tmp_path)
    with pytest.raises(NotFinite, match=f"In the stage {stage}, ") as caught:
        renderer.render(job, lambda *_: None)
    assert (caught.value.code, caught.value.retryable) == ("not_finite", True)
    assert not list(tmp_path.glob("*.mp4"))


def test_a_weight_that_overflows_fails_the_start(copy: Path) -> None:
    """Each value in the file is finite; the warm-up finds the stage that makes no use of them."""
    set_weight(copy, "proj_out.bias", HUGE)
    assert "In the stage denoising, " in failure_of(copy)


def test_a_weight_that_is_not_finite_is_refused(copy: Path) -> None:
    """The failed start names the file and the tensor."""
    set_weight(copy, "proj_out.bias", NAN)
    assert failure_of(copy) == (
        f"{copy / DIT}: is damaged: proj_out.bias has values that are not finite"
    )


def failure_of(checkpoint: Path) -> str:
    """Why an engine does not start with `checkpoint`."""
    engine = Engine(str(checkpoint), hang_seconds=HANG_SECONDS)
    engine.start()
    try:
        assert not engine.wait(START_SECONDS)
        assert engine.failure is not None
        return engine.failure
    finally:
        engine.close()


def test_a_file_of_the_hubs_cache_that_changed_is_refused(copy: Path, tmp_path: Path) -> None:
    """There, a large file is a link to a blob that is named after its checksum."""
    content = (copy / DIT).read_bytes()
    blob = tmp_path / hashlib.sha256(content).hexdigest()
    blob.write_bytes(content)
    (copy / DIT).unlink()
    (copy / DIT).symlink_to(os.path.relpath(blob, (copy / DIT).parent))
    weights = locate_checkpoint(str(copy)).weights["transformer"]
    verify_checksums(copy, weights)
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="its SHA-256 is not the hub's"):
        verify_checksums(copy, weights)


def test_files_without_a_known_checksum_are_accepted(copy: Path) -> None:
    """A checkpoint that was copied or fine-tuned has none."""
    verify_checksums(
        copy, (path for part in locate_checkpoint(str(copy)).weights.values() for path in part)
    )
