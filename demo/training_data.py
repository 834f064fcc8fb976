"""Training data of the transformer: latents of clips, rendered on demand."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from demo.clips import render
from demo.components import TOKEN_PIXELS
from demo.latent_basis import LatentBasis
from demo.scenes import Scene, list_scenes, sample_scenes

# Width and height. The profile's sizes are sampled most often, the others so that they work at all.
PROFILE_SIZES: Final = ((96, 64), (64, 96), (64, 64), (112, 64), (160, 96))
_OTHERS: Final = ((80, 64), (128, 80))
# In latent frames: the first decodes to one frame, each later one to six.
_LENGTHS: Final = (2, 3, 4, 5)
_LONG: Final = (7, 11)
# The largest size gets more batches: fewer of its clips fit into one, and its shapes cover the
# most tokens.
_OFTEN: Final = dict.fromkeys(PROFILE_SIZES, 4) | {(160, 96): 7}
# Width, height, length, and sampling weight.
_KINDS: Final = (
    *((*size, length, often) for size, often in _OFTEN.items() for length in _LENGTHS),
    *((*size, length, 1) for size in PROFILE_SIZES for length in _LONG),
    *((*size, length, 1) for size in _OTHERS for length in (2, 5)),
)


def latent_batches(
    basis: LatentBasis, tokens: int, seed: int
) -> Iterator[tuple[Tensor, list[Scene]]]:
    """Batches of normalized latents, about `tokens` transformer tokens each, and their scenes.

    All clips of a batch have the same size and length.
    """
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    choices, weights = list_scenes(held_out=False), [kind[-1] for kind in _KINDS]
    while True:
        (width, height, length, _) = rng.choices(_KINDS, weights)[0]
        count = round(tokens / (width * height * length / TOKEN_PIXELS**2))
        shown = sample_scenes(rng, choices, count)
        clips = render(shown, width, height, 6 * length - 5, generator)
        yield basis.normalize(basis.encode(clips)), shown
