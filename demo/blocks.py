"""The latents: of each block of 6 x 8 x 8 pixels, the twelve numbers that say most about it.

They are principal components, so a block is a weighted sum of twelve pictures, and Mochi's decoder
can be given weights that add them up. Training it from there is a matter of minutes; from random
weights it is one of hours on a CPU, in which colours come last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import pad

CHANNELS: Final = 12
# A block in units of the decoder's first step (time, height, width), and each unit in pixels.
_UNITS: Final = (3, 2, 2)
_UNIT: Final = (2, 4, 4)
# Blocks that show nothing but background are most, and all alike: one for five others is enough.
_BACKGROUND_SHARE: Final = 0.2
# Of weights that add nothing yet: they must differ to learn different things.
_EXTRA: Final = 0.02


@dataclass(frozen=True)
class Basis:
    """How blocks become latents.

    Attributes:
        mean: of blocks that show something and some that do not, 12 units x 96 pixels.
        pictures: what one latent of 1 adds, 12 latents x 12 units x 96 pixels.
        centre: the mean of each latent in clips, where most blocks are background.
        spread: their deviation where something is seen: measured over all blocks, shapes would
            stand out from so much noise that they are decided in a tenth of the time.
    """

    mean: Tensor
    pictures: Tensor
    centre: Tensor
    spread: Tensor

    def encode(self, clips: Tensor) -> Tensor:
        """Latents as the decoder has them: count x 12 x latent frames x height/8 x width/8."""
        pictures = self.pictures.flatten(1)
        weights = pictures / (pictures**2).sum(1, keepdim=True)
        latents = (blocks(clips) - self.mean.flatten()) @ weights.T
        return latents.permute(0, 4, 1, 2, 3).contiguous()

    def normalize(self, latents: Tensor) -> Tensor:
        """Latents as the transformer has them: mean 0, and deviation 1 where something is seen."""
        centre, spread = (x.view(1, -1, 1, 1, 1) for x in (self.centre, self.spread))
        return (latents - centre) / spread


def blocks(clips: Tensor) -> Tensor:
    """Clips by block: count x latent frames x height/8 x width/8 x (12 units of 96 pixels).

    The first frame is a block of its own, and stands still in it.
    """
    padded = pad(clips, (0, 0, 0, 0, 5, 0), mode="replicate")
    count, _, frames, height, width = padded.shape
    (st, sh, sw), (t, y, x) = _UNITS, _UNIT
    split = padded.view(count, 3, frames // 6, st, t, height // 8, sh, y, width // 8, sw, x)
    return split.permute(0, 2, 5, 8, 3, 6, 9, 4, 7, 10, 1).flatten(4)


def principal(clips: list[Tensor]) -> Basis:
    """The basis for what `clips` show."""
    every = torch.cat([blocks(part).flatten(0, 3) for part in clips])
    busy = every.std(1) > 0.3  # noqa: PLR2004 - a colour or an edge; the backgrounds' deviation is 0.02
    plain = torch.nonzero(~busy).flatten()
    plain = plain[torch.randperm(len(plain))[: int(busy.sum() * _BACKGROUND_SHARE)]]
    chosen = torch.cat([every[busy], every[plain]])
    mean = chosen.mean(0)
    values, vectors = torch.linalg.eigh((chosen - mean).T @ (chosen - mean) / len(chosen))
    pictures = (vectors[:, -CHANNELS:] * values[-CHANNELS:].sqrt()).T.flip(0).contiguous()
    latents = (every - mean) @ (pictures / (pictures**2).sum(1, keepdim=True)).T
    return Basis(
        mean.view(12, 96),
        pictures.view(CHANNELS, 12, 96),
        latents.mean(0),
        latents[busy].std(0),
    )


def write(decoder: Any, basis: Basis) -> None:
    """Give Mochi's `decoder` the weights that add up the pictures of `basis`.

    What is left over is small and random, and its residual blocks begin with adding nothing.
    """
    units = basis.pictures.reshape(-1, 96)
    # Each unit is a sum of as many pictures as the first step has channels.
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


def _write_units(proj: Any, basis: Basis, middle: Tensor, small: Tensor) -> None:
    """From latents to the small pictures' shares in each unit."""
    channels = len(small)
    weight = torch.einsum("lup,cp->cul", basis.pictures, small)
    proj.weight.view(channels, 12, -1)[..., :CHANNELS] = weight
    proj.bias.copy_(((basis.mean - middle) @ small.T).T.flatten())


def _write_pixels(proj: Any, middle: Tensor, small: Tensor) -> None:
    """From shares to colours: for each 2 frames x 2 x 2, those of 2 x 2 pixels."""
    order = (0, 1, 3, 2, 4, 5)  # t, y2, yy, x2, xx, c -> t, y2, x2, yy, xx, c

    def by_channel(pictures: Tensor) -> Tensor:
        split = pictures.view(-1, 2, 2, 2, 2, 2, 3).permute(0, *(i + 1 for i in order))
        return split.reshape(len(pictures), 8, 12).permute(2, 1, 0)

    weight = proj.weight.view(-1, 8, proj.in_features)
    weight[:12, :, : len(small)] = by_channel(small)
    proj.bias.view(-1, 8)[:12] = by_channel(middle[None])[..., 0]


def _write_colours(proj: Any, proj_out: Any) -> None:
    """Each colour twice, with both signs: silu(v) - silu(-v) = v."""
    weight = proj.weight.view(-1, 4, proj.in_features)
    weight[:6] = 0
    proj_out.weight[:, :6] = 0
    for colour in range(3):
        for pixel in range(4):
            weight[colour, pixel, pixel * 3 + colour] = 1
            weight[colour + 3, pixel, pixel * 3 + colour] = -1
        proj_out.weight[colour, colour] = 1
        proj_out.weight[colour, colour + 3] = -1
