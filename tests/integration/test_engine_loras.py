"""LoRAs that are added to the model when it is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from functions.generate.engine.model.checkpoint import (
    Checkpoint,
    CheckpointError,
    locate_checkpoint,
)
from functions.generate.engine.model.loading import load_components
from functions.generate.engine.model.lora_files import add_loras
from functions.generate.engine.model.mochi import Mochi
from functions.generate.engine.model.ranks import Ranks
from functions.shared.config import Settings
from functions.shared.video.profiles import SigmaSchedule
from tests.demo_engine import DEMO, small_request

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")

LAYERS = ("transformer_blocks.0.attn1.to_q", "transformer_blocks.1.ff.net.0.proj")
RANK = 4
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def demo() -> Checkpoint:
    """The demo without LoRAs."""
    return locate_checkpoint(str(DEMO))


@pytest.fixture(scope="module")
def weights(demo: Checkpoint) -> dict[str, Tensor]:
    """The demo's weights."""
    return _load(demo)


def _load(checkpoint: Checkpoint) -> dict[str, Tensor]:
    transformer = load_components(checkpoint, CPU, torch.float32).transformer
    found: dict[str, Tensor] = transformer.state_dict()
    return found


def _matrices(weights: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    found = {}
    for layer in LAYERS:
        rows, columns = weights[f"{layer}.weight"].shape
        found[layer] = (
            torch.randn(rows, RANK, generator=generator) / 10,
            torch.randn(RANK, columns, generator=generator) / 10,
        )
    return found


def _as_diffusers(weights: dict[str, Tensor], file: Path, metadata: Any = None) -> Path:
    tensors = {}
    for layer, (up, down) in _matrices(weights).items():
        tensors[f"transformer.{layer}.lora_A.weight"] = down
        tensors[f"transformer.{layer}.lora_B.weight"] = up
    save_file(tensors, file, metadata)
    return file


def _as_kohya(weights: dict[str, Tensor], file: Path) -> Path:
    tensors = {}
    for layer, (up, down) in _matrices(weights).items():
        name = f"lora_unet_{layer.replace('.', '_')}"
        tensors[f"{name}.lora_down.weight"] = down
        tensors[f"{name}.lora_up.weight"] = up
        tensors[f"{name}.alpha"] = torch.tensor(RANK / 2)
    save_file(tensors, file)
    return file


def _expected(weights: dict[str, Tensor], strength: float) -> dict[str, Tensor]:
    changes = {
        f"{layer}.weight": strength * (up @ down)
        for layer, (up, down) in _matrices(weights).items()
    }
    return {name: tensor + changes.get(name, 0) for name, tensor in weights.items()}


def _with(demo: Checkpoint, setting: str) -> dict[str, Tensor]:
    return _load(add_loras(demo, setting))


def _assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


def test_weights_change_by_the_product_of_the_matrices(
    demo: Checkpoint, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    """W + scale * alpha / rank * B A, with the names of diffusers and kohya; nothing at 0."""
    diffusers = _as_diffusers(weights, tmp_path / "diffusers.safetensors")
    _assert_equal(_with(demo, f"{diffusers}:0.5"), _expected(weights, 0.5))
    metadata = {"lora_adapter_metadata": json.dumps({"transformer.lora_alpha": RANK * 2})}
    scaled = _as_diffusers(weights, tmp_path / "scaled.safetensors", metadata)
    _assert_equal(_with(demo, f"{scaled}:0.5"), _expected(weights, 1))
    kohya = _as_kohya(weights, tmp_path / "kohya.safetensors")
    _assert_equal(_with(demo, f"{kohya}:1"), _expected(weights, 0.5))
    _assert_equal(_with(demo, f"{kohya}:0"), weights)


def test_the_picture_is_that_of_a_model_with_the_changed_weights(
    demo: Checkpoint, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    """A checkpoint with the sums in its file gives the same bits; a scale of 0 changes nothing."""
    lora = _as_diffusers(weights, tmp_path / "lora.safetensors")
    folder = Path(shutil.copytree(DEMO, tmp_path / "model"))
    (file,) = (folder / "transformer").glob("*.safetensors")
    changed = _expected(weights, 2)
    save_file(load_file(file) | {f"{one}.weight": changed[f"{one}.weight"] for one in LAYERS}, file)

    def latents(checkpoint: Checkpoint) -> Tensor:
        model = Mochi(checkpoint, Ranks(), SigmaSchedule())
        request = small_request(num_inference_steps=2)
        return model.denoise(request, model.encode_text(request))

    without = latents(demo)
    fused = latents(add_loras(demo, f"{lora}:2"))
    assert torch.equal(fused, latents(locate_checkpoint(str(folder))))
    assert not torch.equal(fused, without)
    assert torch.equal(latents(add_loras(demo, f"{lora}:0")), without)


def test_the_revision_names_the_loras(
    demo: Checkpoint, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    """Their files and scales, in order; a folder with one file stands for it."""
    lora = _as_diffusers(weights, tmp_path / "a.safetensors")
    other = tmp_path / "other"
    other.mkdir()
    _as_kohya(weights, other / "b.safetensors")
    settings = [f"{lora}:1", f"{lora}:0.5", f"{other}:1", f"{lora}:1, {other}:1"]
    found = [add_loras(demo, setting).revision for setting in settings]
    assert len({demo.revision, *found}) == 5
    assert all(one.startswith(f"{demo.revision}+lora:") for one in found)
    assert add_loras(demo, f"{other / 'b.safetensors'}:1").revision == found[2]
    assert add_loras(demo, None) == demo


def _missing(_: dict[str, Tensor], file: Path) -> str:
    return f"{file}: no such LoRA; correct its path"


def _several(weights: dict[str, Tensor], file: Path) -> str:
    file.mkdir()
    for name in ("a", "b"):
        _as_kohya(weights, file / f"{name}.safetensors")
    return f"{file}: has 2 *.safetensors files; name one"


def _truncated(weights: dict[str, Tensor], file: Path) -> str:
    _as_kohya(weights, file)
    with file.open("r+b") as content:
        content.truncate(file.stat().st_size - 1)
    return f"{file}: is truncated"


def _edited(edit: Callable[[dict[str, Tensor]], Any], message: str) -> Callable[..., str]:
    def damage(weights: dict[str, Tensor], file: Path) -> str:
        tensors = load_file(_as_diffusers(weights, file))
        edit(tensors)
        save_file(tensors, file)
        return f"{file}: {message}"

    return damage


_KEY = f"transformer.{LAYERS[0]}.lora_B.weight"


@pytest.mark.parametrize(
    "damage",
    [
        _missing,
        _several,
        _truncated,
        _edited(
            lambda t: t.update({"text_encoder.q.lora_A.weight": t[_KEY].clone()}),
            "text_encoder.q.lora_A.weight belongs to no linear layer of this transformer; use",
        ),
        _edited(lambda t: t.pop(_KEY), f"{LAYERS[0]} has no up matrix; export"),
        _edited(
            lambda t: t.update({_KEY: torch.zeros(3, RANK)}),
            f"{LAYERS[0]} is for weights of 3 x 160, but this model has 160 x 160; use",
        ),
        _edited(
            lambda t: t.update({_KEY: torch.zeros(160, RANK + 1)}),
            f"the matrices of {LAYERS[0]} do not fit together",
        ),
        _edited(lambda t: t[_KEY].fill_(torch.nan), f"is damaged: {LAYERS[0]} has values"),
    ],
)
def test_a_wrong_lora_is_named_with_its_remedy(
    demo: Checkpoint, weights: dict[str, Tensor], tmp_path: Path, damage: Callable[..., str]
) -> None:
    """In one line."""
    file = tmp_path / "lora.safetensors"
    expected = damage(weights, file)
    with pytest.raises(CheckpointError) as error:
        _with(replace(demo), f"{file}:1")
    assert str(error.value).startswith(expected)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "style.safetensors", "a:high", "a:1,,b:1", ":1"])
def test_a_setting_without_path_and_scale_is_refused(text: str) -> None:
    """Before the model is loaded."""
    with pytest.raises(ValidationError, match="loras"):
        Settings(loras=text)
