"""Train the autoencoder: the decoder to sharpen known latents, the encoder to reproduce them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any, Final

import torch
from diffusers import AutoencoderKLMochi
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from tqdm import tqdm  # type: ignore[import-untyped]

from demo.clips import render
from demo.latent_basis import LatentBasis, fit_basis, write_decoder_weights
from demo.precision import autocast
from demo.scenes import list_scenes, sample_scenes

# Width, height, frames. Training on small frames is enough for large ones: the receptive field is
# only a few latents wide.
_CLIPS: Final = ((64, 64, 7), (64, 64, 13), (48, 48, 13), (96, 64, 7), (160, 96, 7))
# Pixels per batch: six clips of the middle size.
_PIXELS: Final = 6 * 64 * 64 * 13
_RATE: Final = 2e-3
# Roughly the error of latents predicted by the transformer; the decoder should tolerate it.
_NOISE: Final = 0.1
# Extra loss weight of a shape's pixels: most pixels are background, and easy.
_SHAPES: Final = 10.0
# The range from black to white, for PSNR.
_PEAK: Final = 2.0
# Batches of clips to which the basis is fitted.
_SAMPLE: Final = 40
# The posterior is never sampled, so the log-variance target is just a typical value.
_LOG_VARIANCE: Final = -5.0


def train(
    vae: AutoencoderKLMochi, decoder_steps: int, encoder_steps: int, seed: int
) -> LatentBasis:
    """Train `vae` in place, and write the mean and deviation of its latents to its configuration.

    A step is one batch of clips. Returns the basis that defines the latents.
    """
    clips = _clips(seed)
    basis = fit_basis([next(clips) for _ in range(_SAMPLE)])
    vae.register_to_config(latents_mean=basis.centre.tolist(), latents_std=basis.spread.tolist())
    write_decoder_weights(vae.decoder, basis)

    def decoding(batch: Tensor) -> tuple[Tensor, str]:
        latents = basis.encode(batch)
        with autocast():
            noise = _NOISE * basis.spread.view(1, -1, 1, 1, 1) * torch.randn_like(latents)
            decoded = vae.decode(latents + noise).sample.float()
        error = 10 * math.log10(_PEAK**2 / mse_loss(decoded, batch).item())
        return _weighted(decoded, batch), f"{error:.1f} dB"

    def encoding(batch: Tensor) -> tuple[Tensor, str]:
        with autocast():
            found = vae.encode(batch).latent_dist
        loss = mse_loss(found.mean.float(), basis.encode(batch))
        # Weight 0.01: nothing depends on the variance, and everything on the mean.
        return loss + 0.01 * ((found.logvar.float() - _LOG_VARIANCE) ** 2).mean(), f"{loss:.4f}"

    _train(vae.decoder, "decoder", decoder_steps, clips, decoding)
    _train(vae.encoder, "encoder", encoder_steps, clips, encoding)
    return basis


def _weighted(decoded: Tensor, clips: Tensor) -> Tensor:
    behind = clips[:, :, :1, :1, :1]
    weight = 1 + _SHAPES * (clips - behind).abs().amax(1, keepdim=True).clamp(max=1)
    errors = decoded - clips
    return (weight / weight.mean() * (errors.abs() + errors**2)).mean()


def _train(part: nn.Module, name: str, steps: int, clips: Iterator[Tensor], loss_of: Any) -> None:
    if not steps:
        return
    part.train()
    optimizer = torch.optim.AdamW(part.parameters(), _RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, steps, pct_start=0.05)
    progress = tqdm(range(steps), desc=name)
    for _ in progress:
        loss, shown = loss_of(next(clips))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress.set_postfix_str(shown, refresh=False)
    part.eval()


def _clips(seed: int) -> Iterator[Tensor]:
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    choices = list_scenes(held_out=False)
    while True:
        width, height, frames = rng.choice(_CLIPS)
        count = round(_PIXELS / (width * height * frames))
        yield render(sample_scenes(rng, choices, count), width, height, frames, generator)
