"""The steps that train the demo checkpoint."""

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

from demo import components, denoiser, train
from demo.clips import render
from demo.latent_basis import LatentBasis, fit_basis, split_blocks, write_decoder_weights
from demo.scenes import list_scenes, sample_scenes
from demo.training_data import latent_batches

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("one_thread")


def clips(count: int, seed: int, width: int = 96, height: int = 64, frames: int = 13) -> Tensor:
    """Clips of random scenes."""
    every = [*list_scenes(held_out=False), *list_scenes(held_out=True)]
    chosen = sample_scenes(random.Random(seed), every, count)
    return render(chosen, width, height, frames, torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def basis() -> LatentBasis:
    """A basis fitted to some clips."""
    torch.manual_seed(0)
    return fit_basis([clips(16, seed) for seed in range(8)])


def test_blocks_cover_the_whole_clip() -> None:
    """Every pixel is in exactly one block, and the first frame fills a block of its own."""
    clip = clips(1, 1)
    cut = split_blocks(clip)
    assert cut.shape == (1, 3, 8, 12, 6 * 8 * 8 * 3)
    assert torch.allclose(cut[:, 1:].sum(), clip[:, :, 1:].sum(), rtol=1e-4)
    assert torch.allclose(cut[:, 0].sum() / 6, clip[:, :, 0].sum(), rtol=1e-4)


def test_an_untrained_decoder_sums_principal_components(basis: LatentBasis) -> None:
    """With the computed weights, Mochi's decoder reconstructs clips before any training."""
    vae = components.autoencoder().eval()
    write_decoder_weights(vae.decoder, basis)
    originals = clips(8, 99)
    with torch.no_grad():
        decoded = vae.decode(basis.encode(originals)).sample
    assert decoded.shape == originals.shape
    assert 10 * math.log10(4 / mse_loss(decoded, originals).item()) > 18  # PSNR in decibels


def test_training_attention_matches_diffusers() -> None:
    """A batch of prompts of different lengths gives the same result as with diffusers."""
    torch.manual_seed(0)
    model = components.transformer(layers=2).eval()
    torch.nn.init.normal_(model.proj_out.weight, std=0.1)
    other = copy.deepcopy(model)
    for block in other.transformer_blocks:
        block.attn1.processor = denoiser.MaskedAttention()
    mask = torch.tensor([[True] * 3 + [False] * 4, [True] * 7])
    given: dict[str, Any] = {
        "hidden_states": torch.randn(2, 12, 2, 8, 8),
        "encoder_hidden_states": torch.randn(2, 7, components.TEXT_WIDTH) * mask[..., None],
        "timestep": torch.tensor([100.0, 900.0]),
        "encoder_attention_mask": mask,
        "return_dict": False,
    }
    with torch.no_grad():
        assert torch.allclose(model(**given)[0], other(**given)[0], atol=1e-4)


def test_training_lowers_the_loss(basis: LatentBasis) -> None:
    """A few steps lower the loss of a shallow transformer by a third."""
    torch.manual_seed(0)
    pipeline, drawn = components.pipeline(layers=1), latent_batches(basis, 512, 7)

    def loss() -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            return denoiser.flow_loss(pipeline, *held, random.Random(7)).item()

    held = next(drawn)
    before = loss()
    denoiser.train(pipeline, basis, steps=30, seed=1, tokens=512)
    assert loss() < before / 1.5


def test_a_seed_determines_the_checkpoint(tmp_path: Path) -> None:
    """The same command writes the same bytes, in this process and in a new one."""
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
