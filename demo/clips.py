"""Render scenes as synthetic clips, from signed distance functions with soft edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from demo.scenes import BACKGROUNDS, COLOURS, DIRECTIONS, Scene

# All lengths are fractions of the frame's shorter side. A shape is large enough to cover several
# of the transformer's tokens (16 x 16 pixels), and small enough to have room to move.
_RADIUS: Final = (0.23, 0.27)
# Distance travelled in a clip, and its limit per frame, which applies to short clips: faster
# motion would show more in a block of six frames than twelve components can represent.
_TRAVEL: Final = (0.40, 0.46)
_SPEED: Final = 0.04
# Maximum distance from the centre of the frame to the centre of the path.
_OFF_CENTRE: Final = 0.12


def render(
    scenes: Sequence[Scene], width: int, height: int, frames: int, generator: torch.Generator
) -> Tensor:
    """Clips of `scenes`: count x 3 x frames x height x width, -1 to 1.

    `generator` draws each shape's size, position and distance travelled. A shape passes the centre
    of its path at half time. It stays within the frame, except for the tips of triangles and
    crosses.
    """
    count, short = len(scenes), min(width, height)
    radius = _uniform(count, _RADIUS, generator) * short
    travel = _uniform(count, _TRAVEL, generator).clamp(max=_SPEED * (frames - 1)) * short
    steps = torch.tensor([DIRECTIONS[scene.direction] for scene in scenes])
    # The path's centre may leave the frame's as far as the whole path stays within the frame.
    reach = steps.abs() * travel[:, None] / 2
    spare = torch.tensor([width, height]) / 2 - reach - radius[:, None]
    spare = spare.clamp(0, _OFF_CENTRE * short)
    middle = torch.tensor([width, height]) / 2
    middle = middle + (torch.rand(count, 2, generator=generator) * 2 - 1) * spare
    time = torch.linspace(-0.5, 0.5, frames)
    centres = middle[:, None] + time[None, :, None] * (steps * travel[:, None])[:, None]
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
    """The signed distance of (`x`, `y`) from a shape centred at the origin; negative inside.

    Distances are measured to the lines of the sides, so they are too small near corners. The shapes
    are scaled to about the same area, within a fifth.

    Raises:
        ValueError: an unknown `shape`.
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
    raise ValueError(f"unknown shape: {shape}")


def _uniform(count: int, bounds: tuple[float, float], generator: torch.Generator) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(count, generator=generator)


def _colours(values: list[tuple[int, int, int]]) -> Tensor:
    return (torch.tensor(values, dtype=torch.float32) / 127.5 - 1)[:, :, None, None, None]
