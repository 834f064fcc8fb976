"""Decodes a video a few latent frames at a time, with the result of decoding it whole.

Along time, Mochi's decoder only looks back: its temporal convolutions are causal, its norms work on
single frames, and it has no attention. From the previous chunk it therefore needs only the last
input frames of each convolution. Decoded whole, 163 frames of 848x480 need 114 GiB.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXCausalConv3d
from torch import Tensor
from torch.nn.functional import pad

from functions.generate.engine.model.finite import require_finite
from functions.shared.video.progress import Stage

CHUNK_LATENT_FRAMES: Final = 2  # needs about 6 GiB at 848x480


class StreamingDecoder:
    """Decodes with the decoder of `vae`, an `AutoencoderKLMochi`, which it takes over.

    The decoder's convolutions are replaced by stateful ones, so nothing else may use the decoder.
    """

    def __init__(self, vae: Any) -> None:
        self._vae = vae
        self._convolutions = [
            _cache_inputs(module)
            for module in vae.decoder.modules()
            if isinstance(module, CogVideoXCausalConv3d)
        ]

    @property
    def dtype(self) -> torch.dtype:
        """The data type of the decoder's weights."""
        dtype: torch.dtype = self._vae.dtype
        return dtype

    def use_format(self, memory_format: torch.memory_format) -> None:
        """Compute convolutions in `memory_format` from now on: that of their weights decides."""
        self._vae.decoder.to(memory_format=memory_format)

    def decode(self, latents: Tensor) -> Generator[Tensor]:
        """Frames in chunks: frames x height x width x 3 bytes, RGB, on the device.

        A chunk may be yielded while the device is still computing it. Decodes one video at a time:
        the next call starts a new one.

        Args:
            latents: 1 x 12 x latent frames x height/8 x width/8, normalized.

        Raises:
            NotFinite: the previous chunk had values that are not finite.
        """
        self._reset_caches()
        # The first latent frame encodes a single frame, but the decoder expands it like the others.
        surplus = self._vae.temporal_compression_ratio - 1
        try:
            for chunk in torch.split(self._denormalized(latents), CHUNK_LATENT_FRAMES, dim=2):
                video = self._vae.decoder(chunk.to(self._vae.dtype))[0]
                yield to_rgb_bytes(video[0, :, surplus:])
                # Only now, when the caller has used the chunk, because this waits for the device.
                require_finite(Stage.DECODING, video)
                surplus = 0
        finally:
            self._reset_caches()

    def _denormalized(self, latents: Tensor) -> Tensor:
        """The formula of diffusers' `MochiPipeline`, which has no function for it."""
        config = self._vae.config
        scale: float = config.scaling_factor
        if config.latents_mean is None or config.latents_std is None:
            return latents / scale
        mean, std = (
            torch.tensor(values).view(1, -1, 1, 1, 1).to(latents.device, latents.dtype)
            for values in (config.latents_mean, config.latents_std)
        )
        return latents * std / scale + mean

    def _reset_caches(self) -> None:
        for convolution in self._convolutions:
            convolution.cached_frames = None


class _CachingForward:
    """The `forward` of a causal convolution that caches the last frames of its padded input."""

    def __init__(self, module: CogVideoXCausalConv3d) -> None:
        self._module = module
        self.cached_frames: Tensor | None = None

    def __call__(self, inputs: Tensor, conv_cache: Any = None) -> tuple[Tensor, None]:
        padded = pad(inputs, self._module.time_causal_padding, mode="replicate")
        # Where the video starts, the first frame is repeated; later, those copies are replaced. To
        # concatenate before padding would copy everything twice.
        if self.cached_frames is not None:
            padded[:, :, : self._module.time_pad] = self.cached_frames
        # A copy, because a view would keep the whole chunk alive.
        self.cached_frames = padded[:, :, inputs.shape[2] :].clone()
        return self._module.conv(padded), conv_cache


def _cache_inputs(module: CogVideoXCausalConv3d) -> _CachingForward:
    """Replace the module's `forward`, and return the replacement."""
    if module.pad_mode != "replicate":
        raise ValueError(f"the decoder pads with {module.pad_mode!r}, not with 'replicate'")
    forward = _CachingForward(module)
    module.__dict__["forward"] = forward  # on this instance, not on its class
    return forward


def to_rgb_bytes(video: Tensor) -> Tensor:
    """From 3 x frames x height x width in [-1, 1] to frames x height x width x 3 bytes."""
    # In fp32, because between 0.5 and 1 bf16 has steps of 1/256, and bytes need steps of 1/255.
    rgb = ((video.float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return rgb.permute(1, 2, 3, 0)
