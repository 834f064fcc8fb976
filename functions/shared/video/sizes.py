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
        width, _, height = size.partition("x")
        from_size = (int(width), int(height))
        for name, given, parsed in zip(names, sides, from_size, strict=True):
            if given is not None and given != parsed:
                raise InvalidRequest(
                    f"{name} is {given}, but size is {size}; send one of them", param=name
                )
        sides, names = from_size, ("size", "size")
    found = (
        profile.width.default if sides[0] is None else sides[0],
        profile.height.default if sides[1] is None else sides[1],
    )
    valid = _in_span(found[0], profile.width), _in_span(found[1], profile.height)
    if not all(valid) or found[0] * found[1] > profile.max_pixels:
        nearest = "{}x{}".format(*nearest_size(found, profile))
        raise InvalidRequest(
            f"The size is {found[0]}x{found[1]}; {profile.name} supports widths from "
            f"{_describe(profile.width)}, heights from {_describe(profile.height)}, and at most "
            f"{profile.max_pixels} pixels. Nearest: {nearest}",
            # With too many pixels, either side can be blamed: name one that was sent.
            param=names[1] if (valid[0] and not valid[1]) or sides[0] is None else names[0],
        )
    return found


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


def _values(span: Span) -> range:
    return range(span.min + -span.min % span.multiple, span.max + 1, span.multiple)


def _in_span(value: int, span: Span) -> bool:
    return value in _values(span)


def _describe(span: Span) -> str:
    return f"{span.min} to {span.max} in multiples of {span.multiple}"
