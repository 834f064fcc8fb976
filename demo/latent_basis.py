"""The latents: the first twelve principal components (PCA) of each block of 6 x 8 x 8 pixels.

A block is then a weighted sum of twelve pictures, and Mochi's decoder can be given weights that
compute this sum. Training it from there takes minutes; from random weights it takes hours on a CPU,
and colours converge last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import pad

CHANNELS: Final = 12
# A block in units (time, height, width) of the decoder's first upsampling, and a unit in pixels.
_UNITS: Final = (3, 2, 2)
_UNIT: Final = (2, 4, 4)
# Most blocks are plain background and look alike: one for every five others is enough.
_BACKGROUND_SHARE: Final = 0.2
# Deviation of the weights that are not computed: they must differ to learn different features.
_EXTRA: Final = 0.02


@dataclass(frozen=True)
class LatentBasis:
    """The linear map from blocks to latents.

    Attributes:
        mean: the mean block, over blocks with content and some without, 12 units x 96 pixels.
        pictures: what a latent of value 1 adds to the block, 12 latents x 12 units x 96 pixels.
        centre: the mean of each latent over all blocks of the clips, most of which are background.
        spread: the standard deviation of each latent over blocks with content. Over all blocks it
            would be so small that shapes exceeded the noise early, and only a tenth of the
            denoising time would decide them.
    """

    mean: Tensor
    pictures: Tensor
    centre: Tensor
    spread: Tensor

    def encode(self, clips: Tensor) -> Tensor:
        """Latents as the decoder takes them: count x 12 x latent frames x height/8 x width/8."""
        pictures = self.pictures.flatten(1)
        weights = pictures / (pictures**2).sum(1, keepdim=True)
        latents = (split_blocks(clips) - self.mean.flatten()) @ weights.T
        return latents.permute(0, 4, 1, 2, 3).contiguous()

    def normalize(self, latents: Tensor) -> Tensor:
        """Latents as the transformer takes them: mean 0, and deviation 1 where there is content."""
        centre, spread = (x.view(1, -1, 1, 1, 1) for x in (self.centre, self.spread))
        return (latents - centre) / spread


def split_blocks(clips: Tensor) -> Tensor:
    """Clips as blocks: count x latent frames x height/8 x width/8 x (12 units of 96 pixels).

    The first frame is repeated to fill a block of its own.
    """
    padded = pad(clips, (0, 0, 0, 0, 5, 0), mode="replicate")
    count, _, frames, height, width = padded.shape
    (st, sh, sw), (t, y, x) = _UNITS, _UNIT
    split = padded.view(count, 3, frames // 6, st, t, height // 8, sh, y, width // 8, sw, x)
    return split.permute(0, 2, 5, 8, 3, 6, 9, 4, 7, 10, 1).flatten(4)


def fit_basis(clips: list[Tensor]) -> LatentBasis:
    """Fit the principal components to the blocks of `clips`."""
    every = torch.cat([split_blocks(part).flatten(0, 3) for part in clips])
    busy = every.std(1) > 0.3  # noqa: PLR2004 - a colour or an edge; the backgrounds' deviation is 0.02
    plain = torch.nonzero(~busy).flatten()
    plain = plain[torch.randperm(len(plain))[: int(busy.sum() * _BACKGROUND_SHARE)]]
    chosen = torch.cat([every[busy], every[plain]])
    mean = chosen.mean(0)
    values, vectors = torch.linalg.eigh((chosen - mean).T @ (chosen - mean) / len(chosen))
    pictures = (vectors[:, -CHANNELS:] * values[-CHANNELS:].sqrt()).T.flip(0).contiguous()
    latents = (every - mean) @ (pictures / (pictures**2).sum(1, keepdim=True)).T
    return LatentBasis(
        mean.view(12, 96),
        pictures.view(CHANNELS, 12, 96),
        latents.mean(0),
        latents[busy].std(0),
    )


def write_decoder_weights(decoder: Any, basis: LatentBasis) -> None:
    """Give Mochi's `decoder` the weights that sum the pictures of `basis`.

    All other weights are small and random, and its residual blocks initially add nothing.
    """
    units = basis.pictures.reshape(-1, 96)
    # Each unit becomes a sum of one smaller picture per channel of the first upsampling.
    channels = decoder.up_blocks[0].proj.out_features // 12
    middle = basis.mean.mean(0)
    small = torch.linalg.svd(torch.cat([units, basis.mean - middle]), full_matrices=False)[2]
    small = small[:channels]
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=_EXTRA)
        for name, parameter in decoder.named_parameters():
            if "conv2" in name or name.endswith("bias"):
                parameter.zero_()
            if "norm" in name and name.endswith("weight"):
                parameter.fill_(1)
        decoder.conv_in.weight[:CHANNELS] = torch.eye(CHANNELS)[..., None, None, None]
        _write_units(decoder.up_blocks[0].proj, basis, middle, small)
        _write_pixels(decoder.up_blocks[1].proj, middle, small)
        _write_colours(decoder.up_blocks[2].proj, decoder.proj_out)


def _write_units(proj: Any, basis: LatentBasis, middle: Tensor, small: Tensor) -> None:
    """From latents to the weights of the small pictures in each unit."""
    channels = len(small)
    weight = torch.einsum("lup,cp->cul", basis.pictures, small)
    proj.weight.view(channels, 12, -1)[..., :CHANNELS] = weight
    proj.bias.copy_(((basis.mean - middle) @ small.T).T.flatten())


def _write_pixels(proj: Any, middle: Tensor, small: Tensor) -> None:
    """From these weights to colours: for each of 2 x 2 x 2 positions, those of 2 x 2 pixels."""
    order = (0, 1, 3, 2, 4, 5)  # t, y2, yy, x2, xx, c -> t, y2, x2, yy, xx, c

    def by_channel(pictures: Tensor) -> Tensor:
        split = pictures.view(-1, 2, 2, 2, 2, 2, 3).permute(0, *(i + 1 for i in order))
        return split.reshape(len(pictures), 8, 12).permute(2, 1, 0)

    weight = proj.weight.view(-1, 8, proj.in_features)
    weight[:12, :, : len(small)] = by_channel(small)
    proj.bias.view(-1, 8)[:12] = by_channel(middle[None])[..., 0]


def _write_colours(proj: Any, proj_out: Any) -> None:
    """Pass each colour through the activation with both signs: silu(v) - silu(-v) = v."""
    weight = proj.weight.view(-1, 4, proj.in_features)
    weight[:6] = 0
    proj_out.weight[:, :6] = 0
    for colour in range(3):
        for pixel in range(4):
            weight[colour, pixel, pixel * 3 + colour] = 1
            weight[colour + 3, pixel, pixel * 3 + colour] = -1
        proj_out.weight[colour, colour] = 1
        proj_out.weight[colour, colour + 3] = -1
