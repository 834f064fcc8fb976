"""Decode a video a few latent frames at a time, exactly as if it were decoded whole.

In time, Mochi's decoder looks back only: its convolutions over time are causal, its norms are of
each frame, and it has no attention. So what a chunk needs of the one before are the last frames
that went into each convolution. Decoded whole, 163 frames of 848x480 need 114 GiB.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXCausalConv3d
from torch import Tensor
from torch.nn.functional import pad

LATENT_FRAMES: Final = 2  # a chunk: about 6 GiB at 848x480


class StreamingDecoder:
    """Decodes with the decoder of `vae`, an `AutoencoderKLMochi`, which it takes over.

    The decoder's convolutions are replaced by ones that remember, so nothing else may use it.
    """

    def __init__(self, vae: Any) -> None:
        self._vae = vae
        self._convolutions = [
            _remembering(module)
            for module in vae.decoder.modules()
            if isinstance(module, CogVideoXCausalConv3d)
        ]

    def decode(self, latents: Tensor) -> Generator[Tensor]:
        """Pictures, chunk by chunk: frames x height x width x 3 bytes, RGB, on the device.

        The device may still be computing a chunk when it is yielded. One video at a time: the next
        call begins a new one.

        Args:
            latents: 1 x 12 x latent frames x height/8 x width/8, as the transformer makes them.
        """
        self._forget()
        # The first latent frame stands for one frame, and the decoder makes as many of it as of
        # the others.
        surplus = self._vae.temporal_compression_ratio - 1
        try:
            for chunk in torch.split(self._denormalized(latents), LATENT_FRAMES, dim=2):
                video = self._vae.decoder(chunk.to(self._vae.dtype))[0]
                yield _pixels(video[0, :, surplus:])
                surplus = 0
        finally:
            self._forget()

    def _denormalized(self, latents: Tensor) -> Tensor:
        """The pipeline's own formula, which it does not offer as a function."""
        config = self._vae.config
        scale: float = config.scaling_factor
        if config.latents_mean is None or config.latents_std is None:
            return latents / scale
        mean, std = (
            torch.tensor(values).view(1, -1, 1, 1, 1).to(latents.device, latents.dtype)
            for values in (config.latents_mean, config.latents_std)
        )
        return latents * std / scale + mean

    def _forget(self) -> None:
        for convolution in self._convolutions:
            convolution.tail = None


class _Remembering:
    """The forward of a causal convolution that keeps the last frames of what it is given."""

    def __init__(self, module: CogVideoXCausalConv3d) -> None:
        self._module = module
        self.tail: Tensor | None = None

    def __call__(self, inputs: Tensor, conv_cache: Any = None) -> tuple[Tensor, None]:
        frames = self._module.time_pad
        if frames:
            # Before the first frame, the first frame stands still.
            before = inputs[:, :, :1].expand(-1, -1, frames, -1, -1)
            inputs = torch.cat([before if self.tail is None else self.tail, inputs], dim=2)
            # A copy: a view would keep the whole chunk.
            self.tail = inputs[:, :, -frames:].clone()
        width, height = self._module.width_pad, self._module.height_pad
        padded = pad(inputs, (width, width, height, height, 0, 0), mode="replicate")
        return self._module.conv(padded), conv_cache


def _remembering(module: CogVideoXCausalConv3d) -> _Remembering:
    if module.pad_mode != "replicate":
        raise ValueError(f"the decoder pads with {module.pad_mode!r}; only 'replicate' is known")
    remembering = _Remembering(module)
    module.__dict__["forward"] = remembering  # of this instance, and not of its class
    return remembering


def _pixels(video: Tensor) -> Tensor:
    """From 3 x frames x height x width in [-1, 1] to bytes, the colours last."""
    # In fp32 first: above the middle bf16 has steps of 1/256, and bytes are steps of 1/255.
    bytes_ = ((video.float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return bytes_.permute(1, 2, 3, 0)
