"""Checks the size of a requested video, and suggests the nearest size that the model supports."""

from __future__ import annotations

import math
from itertools import product
from typing import Final

from functions.shared.errors import InvalidRequest
from functions.shared.video.profiles import Profile, Span

# A video of another shape needs another composition; one with fewer pixels is only less sharp. With
# this weight, a square with too many pixels becomes the largest square.
_SHAPE_WEIGHT: Final = 3.0


def size_in_pixels(
    size: str | None, sides: tuple[int | None, int | None], profile: Profile
) -> tuple[int, int]:
    """Width and height, from `size` ("WxH"), from `sides`, or from the profile.

    Raises:
        InvalidRequest: the model does not support this size, or `size` contradicts `sides`. The
            message has a size that it supports.
    """
    names = ("width", "height")
    if size is not None:
        sides, names = _sides_of(size, sides), ("size", "size")
    spans = (profile.width, profile.height)
    width, height = (
        span.default if side is None else side for side, span in zip(sides, spans, strict=True)
    )
    at_fault = [
        name
        for name, side, span in zip(names, (width, height), spans, strict=True)
        if side not in _values(span)
    ]
    if not at_fault and width * height > profile.max_pixels:
        # Either side could be smaller: name one that was sent.
        at_fault = [name for name, side in zip(names, sides, strict=True) if side is not None]
    if at_fault:
        nearest = "{}x{}".format(*nearest_size((width, height), profile))
        raise InvalidRequest(
            f"The size is {width}x{height}; {profile.name} supports widths from "
            f"{_describe(profile.width)}, heights from {_describe(profile.height)}, and at most "
            f"{profile.max_pixels} pixels. Nearest: {nearest}",
            param=at_fault[0],
        )
    return width, height


def nearest_size(wanted: tuple[int, int], profile: Profile) -> tuple[int, int]:
    """The supported size nearest to `wanted` in shape and area.

    Both are compared as ratios, and shape counts more. A size beyond the model's limit of pixels
    wants as many as it can have, so 1280x720 becomes the largest size that nearly has its shape.
    """
    width, height = (max(1, side) for side in wanted)
    area = min(width * height, profile.max_pixels)

    def distance(size: tuple[int, int]) -> float:
        shape = math.log(size[0] / size[1]) - math.log(width / height)
        return math.hypot(_SHAPE_WEIGHT * shape, math.log(size[0] * size[1] / area))

    supported = product(_values(profile.width), _values(profile.height))
    return min((size for size in supported if math.prod(size) <= profile.max_pixels), key=distance)


def _sides_of(size: str, sides: tuple[int | None, int | None]) -> tuple[int, int]:
    width, _, height = size.partition("x")
    parsed = (int(width), int(height))
    for name, given, side in zip(("width", "height"), sides, parsed, strict=True):
        if given not in (None, side):
            raise InvalidRequest(
                f"{name} is {given}, but size is {size}; send size, or width and height",
                param=name,
            )
    return parsed


def _values(span: Span) -> range:
    return range(span.min + -span.min % span.multiple, span.max + 1, span.multiple)


def _describe(span: Span) -> str:
    return f"{span.min} to {span.max} in multiples of {span.multiple}"
