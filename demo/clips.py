"""Synthetic clips: a scene becomes frames, drawn from signed distances with soft edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from demo.scenes import BACKGROUNDS, COLOURS, DIRECTIONS, Scene

# In lengths of the shorter side: large enough that a shape fills several of the transformer's
# tokens (16 x 16 pixels), small enough that it has room to move.
_RADIUS: Final = (0.23, 0.27)
# The way of a long clip, and of each frame of a short one: faster, and a block of six frames would
# show more than twelve numbers can say.
_WAY: Final = (0.40, 0.46)
_SPEED: Final = 0.04
# How far the middle of the way may be from the middle of the frame, at most.
_OFF_CENTRE: Final = 0.12


def render(
    scenes: Sequence[Scene], width: int, height: int, frames: int, generator: torch.Generator
) -> Tensor:
    """Clips of `scenes`: count x 3 x frames x height x width, -1 to 1.

    Size, place and length of the way are drawn from `generator`. A shape is in the middle of its
    way at half time. It stays within the frame, but for the tips of triangles and crosses.
    """
    count, short = len(scenes), min(width, height)
    radius = _uniform(count, _RADIUS, generator) * short
    way = _uniform(count, _WAY, generator).clamp(max=_SPEED * (frames - 1)) * short
    steps = torch.tensor([DIRECTIONS[scene.direction] for scene in scenes])
    # As far from the centre as the whole way stays within the frame.
    spare = torch.tensor([width, height]) / 2 - (steps.abs() * way[:, None] / 2) - radius[:, None]
    spare = spare.clamp(0, _OFF_CENTRE * short)
    middle = torch.tensor([width, height]) / 2
    middle = middle + (torch.rand(count, 2, generator=generator) * 2 - 1) * spare
    time = torch.linspace(-0.5, 0.5, frames)
    centres = middle[:, None] + time[None, :, None] * (steps * way[:, None])[:, None]
    x = torch.arange(width) + 0.5 - centres[..., 0, None, None]
    y = torch.arange(height)[:, None] + 0.5 - centres[..., 1, None, None]
    distances = torch.empty(count, frames, height, width)
    for shape in {scene.shape for scene in scenes}:
        which = torch.tensor([scene.shape == shape for scene in scenes])
        distances[which] = distance(shape, x[which], y[which], radius[which, None, None, None])
    cover = (0.5 - distances).clamp(0, 1)[:, None]
    colours = _colours([COLOURS[scene.colour] for scene in scenes])
    backgrounds = _colours([BACKGROUNDS[scene.background] for scene in scenes])
    return backgrounds + (colours - backgrounds) * cover


def distance(shape: str, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """How far (`x`, `y`) lies outside of a shape about the origin, by its sides; negative inside.

    The sizes are such that the shapes cover about the same area, to a fifth.
    """
    if shape == "circle":
        return (x**2 + y**2).sqrt() - radius
    if shape == "square":
        return torch.maximum(x.abs(), y.abs()) - 0.89 * radius
    if shape == "triangle":
        slope = x.abs() * 0.75**0.5 - y * 0.5
        return torch.maximum(y, slope) - 0.7 * radius
    if shape == "cross":
        arm, length = 0.42 * radius, 1.15 * radius
        lying = torch.maximum(x.abs() - length, y.abs() - arm)
        standing = torch.maximum(x.abs() - arm, y.abs() - length)
        return torch.minimum(lying, standing)
    raise ValueError(f"{shape}: no such shape")


def _uniform(count: int, bounds: tuple[float, float], generator: torch.Generator) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(count, generator=generator)


def _colours(values: list[tuple[int, int, int]]) -> Tensor:
    return (torch.tensor(values, dtype=torch.float32) / 127.5 - 1)[:, :, None, None, None]
