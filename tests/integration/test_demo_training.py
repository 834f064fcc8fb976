"""The program that makes the demo checkpoint: each of its steps does what it says."""

from __future__ import annotations

import copy
import hashlib
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from demo import denoiser, parts, train
from demo.batches import batches
from demo.blocks import Basis, blocks, principal, write
from demo.clips import render
from demo.scenes import draw, scenes

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("one_thread")


def clips(count: int, seed: int, width: int = 96, height: int = 64, frames: int = 13) -> Tensor:
    """Clips of any scenes."""
    every = [*scenes(held_out=False), *scenes(held_out=True)]
    chosen = draw(random.Random(seed), every, count)
    return render(chosen, width, height, frames, torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def basis() -> Basis:
    """Principal components of some clips."""
    torch.manual_seed(0)
    return principal([clips(16, seed) for seed in range(8)])


def test_blocks_are_the_whole_clip() -> None:
    """Every pixel is in one block, and the first frame fills one of its own."""
    clip = clips(1, 1)
    cut = blocks(clip)
    assert cut.shape == (1, 3, 8, 12, 6 * 8 * 8 * 3)
    assert torch.allclose(cut[:, 1:].sum(), clip[:, :, 1:].sum(), rtol=1e-4)
    assert torch.allclose(cut[:, 0].sum() / 6, clip[:, :, 0].sum(), rtol=1e-4)


def test_a_decoder_adds_up_principal_components(basis: Basis) -> None:
    """With the weights that are written into it, Mochi's decoder reconstructs, untrained."""
    vae = parts.autoencoder().eval()
    write(vae.decoder, basis)
    asked = clips(8, 99)
    with torch.no_grad():
        decoded = vae.decode(basis.encode(asked)).sample
    assert decoded.shape == asked.shape
    assert 10 * math.log10(4 / mse_loss(decoded, asked).item()) > 18  # decibels


def test_attention_of_training_is_that_of_diffusers() -> None:
    """Prompts of several lengths at once give what diffusers gives for each alone."""
    torch.manual_seed(0)
    model = parts.transformer(layers=2).eval()
    torch.nn.init.normal_(model.proj_out.weight, std=0.1)
    other = copy.deepcopy(model)
    for block in other.transformer_blocks:
        block.attn1.processor = denoiser.MaskedAttention()
    mask = torch.tensor([[True] * 3 + [False] * 4, [True] * 7])
    given: dict[str, Any] = {
        "hidden_states": torch.randn(2, 12, 2, 8, 8),
        "encoder_hidden_states": torch.randn(2, 7, parts.TEXT_WIDTH) * mask[..., None],
        "timestep": torch.tensor([100.0, 900.0]),
        "encoder_attention_mask": mask,
        "return_dict": False,
    }
    with torch.no_grad():
        assert torch.allclose(model(**given)[0], other(**given)[0], atol=1e-4)


def test_training_teaches(basis: Basis) -> None:
    """A few steps bring the loss of the transformer down by a third."""
    torch.manual_seed(0)
    pipeline, drawn = parts.pipeline(), batches(basis, 512, 7)

    def loss() -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            return denoiser.flow_loss(pipeline, *held, random.Random(7)).item()

    held = next(drawn)
    before = loss()
    denoiser.train(pipeline, basis, steps=40, seed=1, tokens=512)
    assert loss() < before / 1.5


def test_a_seed_is_a_checkpoint(tmp_path: Path) -> None:
    """The same command writes the same bytes."""
    steps = ["--decoder-steps", "2", "--encoder-steps", "2", "--transformer-steps", "2"]

    def files(folder: Path) -> dict[str, str]:
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*")
            if path.is_file()
        }

    train.main([str(tmp_path / "first"), *steps])
    first = files(tmp_path / "first")
    assert {"transformer/diffusion_pytorch_model.safetensors", "model_index.json"} <= first.keys()
    command = [sys.executable, "-m", "demo.train", str(tmp_path / "again")]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *steps], cwd=ROOT, env=environ, check=True)
    assert files(tmp_path / "again") == first
