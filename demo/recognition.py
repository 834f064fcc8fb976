"""Recognize the scene that a video shows: colour, shape, direction and background."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from demo.clips import distance
from demo.scenes import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES

Frames = NDArray[np.uint8]
Recognition = dict[str, str | None]
# A pixel is foreground if one of its channels (0 to 255) differs from the background by more.
_FOREGROUND_DIFFERENCE: Final = 60
# Smaller regions are not taken for a shape, and shorter movements, as a fraction of the frame's
# shorter side, not for motion.
_MIN_PIXELS: Final = 12
_MIN_TRAVEL: Final = 0.15
# The area of each shape at radius 1; see `clips.distance`.
_AREAS: Final = {
    "circle": math.pi,
    "square": 1.78**2,
    "triangle": 3 * 3**0.5 * 0.7**2,
    "cross": 8 * 0.42 * 1.15 - 4 * 0.42**2,
}


def recognize(frames: Frames) -> Recognition:
    """The scene in `frames` (count x height x width x 3), by field; None where there is none."""
    pixels = frames.astype(np.int16)
    border = np.concatenate([pixels[:, 0], pixels[:, -1]], axis=1).reshape(-1, 3)
    behind = np.median(border, axis=0)
    mask = np.abs(pixels - behind).max(axis=-1) > _FOREGROUND_DIFFERENCE
    seen = mask.sum(axis=(1, 2)) >= _MIN_PIXELS
    found: Recognition = {"background": _nearest(behind, BACKGROUNDS)}
    if seen.sum() < 2:  # noqa: PLR2004 - a direction needs two frames
        return found | {"colour": None, "shape": None, "direction": None}
    return found | {
        "colour": _nearest(np.median(pixels[_core(mask)], axis=0), COLOURS),
        "shape": _shape(mask[seen]),
        "direction": _direction(mask[seen]),
    }


def _nearest(colour: Any, table: dict[str, tuple[int, int, int]]) -> str:
    return min(table, key=lambda name: float(((colour - np.array(table[name])) ** 2).sum()))


def _core(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`mask` without its soft edge, unless that would leave nothing."""
    inner = mask.copy()
    inner[:, 1:-1, 1:-1] &= mask[:, :-2, 1:-1] & mask[:, 2:, 1:-1]
    inner[:, 1:-1, 1:-1] &= mask[:, 1:-1, :-2] & mask[:, 1:-1, 2:]
    return inner if inner.any() else mask


def _centre(mask: NDArray[np.bool_]) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(columns.mean()), float(rows.mean())


def _direction(masks: NDArray[np.bool_]) -> str | None:
    (x0, y0), (x1, y1) = _centre(masks[0]), _centre(masks[-1])
    if math.hypot(x1 - x0, y1 - y0) < _MIN_TRAVEL * min(masks.shape[1:]):
        return None
    return max(
        DIRECTIONS, key=lambda d: (x1 - x0) * DIRECTIONS[d][0] + (y1 - y0) * DIRECTIONS[d][1]
    )


def _shape(masks: NDArray[np.bool_]) -> str:
    """The shape with the best overlap (IoU) at the same position and area."""
    return max(SHAPES, key=lambda shape: sum(_overlap(shape, mask) for mask in masks))


def _overlap(shape: str, mask: NDArray[np.bool_]) -> float:
    radius = (mask.sum() / _AREAS[shape]) ** 0.5
    x0, y0 = _centre(mask)
    height, width = mask.shape
    x, y = torch.arange(width) - x0, torch.arange(height)[:, None] - y0
    ideal = (distance(shape, x, y, torch.tensor(radius)) < 0).numpy()
    return float((ideal & mask).sum() / (ideal | mask).sum())
