"""What the transformer learns from: latents of clips that are drawn as they are needed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from demo.blocks import Basis
from demo.clips import render
from demo.parts import TOKEN_PIXELS
from demo.scenes import Scene, draw, scenes

# What the profile offers, width and height, comes most often; the rest so that it works too.
OFFERED: Final = ((96, 64), (64, 96), (64, 64), (112, 64), (160, 96))
_OTHERS: Final = ((80, 64), (128, 80))
# In latent frames: the first is one frame, each other one six.
_LENGTHS: Final = (2, 3, 4, 5)
_LONG: Final = (7, 11)
# Of the largest fewer clips fit into a batch, and their shapes cover the most tokens.
_OFTEN: Final = dict.fromkeys(OFFERED, 4) | {(160, 96): 7}
# Width, height, length, and how often each comes.
_KINDS: Final = (
    *((*size, length, often) for size, often in _OFTEN.items() for length in _LENGTHS),
    *((*size, length, 1) for size in OFFERED for length in _LONG),
    *((*size, length, 1) for size in _OTHERS for length in (2, 5)),
)


def batches(basis: Basis, tokens: int, seed: int) -> Iterator[tuple[Tensor, list[Scene]]]:
    """Latents of about so many tokens of the transformer at a time, and what each clip shows.

    All clips of a batch have the same size and length.
    """
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    choices, weights = scenes(held_out=False), [kind[-1] for kind in _KINDS]
    while True:
        (width, height, length, _) = rng.choices(_KINDS, weights)[0]
        count = round(tokens / (width * height * length / TOKEN_PIXELS**2))
        shown = draw(rng, choices, count)
        clips = render(shown, width, height, 6 * length - 5, generator)
        yield basis.normalize(basis.encode(clips)), shown
