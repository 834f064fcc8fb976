"""Checks requests against a model's profile, and suggests the nearest supported values."""

from __future__ import annotations

import re
from typing import Final

from functions.shared.errors import InvalidRequest
from functions.shared.video.profiles import FRAMES_PER_LATENT, Quality, RealSpan, Span

MILLISECOND: Final = 0.001
SECONDS: Final = r"[0-9]{1,6}(\.[0-9]{1,6})?"


def seconds_of(num_frames: int, fps: int) -> str:
    """`(num_frames - 1) / fps`, without trailing zeros and to the millisecond."""
    return f"{(num_frames - 1) / fps:.3f}".rstrip("0").rstrip(".")


def checked_int(name: str, value: int | None, span: Span) -> int:
    """`value`, or the default if it is None; raises `InvalidRequest` outside the range."""
    if value is None:
        return span.default
    if not span.min <= value <= span.max:
        raise InvalidRequest(
            f"{name} is {value}; it must be a whole number from {span.min} to {span.max}",
            param=name,
        )
    return value


def checked_float(name: str, value: float | None, span: RealSpan) -> float:
    """`value`, or the default if it is None; raises `InvalidRequest` outside the range."""
    if value is None:
        return span.default
    if not span.min <= value <= span.max:
        raise InvalidRequest(
            f"{name} is {value:g}; it must be from {span.min:g} to {span.max:g}", param=name
        )
    return value


def checked_quality(quality: Quality | None, qualities: tuple[Quality, ...]) -> Quality:
    """`quality`, or the first of `qualities` if it is None; raises `InvalidRequest` for others."""
    if quality is None:
        return qualities[0]
    if quality not in qualities:
        known = ", ".join(qualities)
        raise InvalidRequest(f"quality is {quality}; this model has: {known}", param="quality")
    return quality


def frame_count(seconds: str | float | None, num_frames: int | None, fps: int, span: Span) -> int:
    """The number of frames: `num_frames`, or from `seconds` at `fps`, or from the profile.

    Raises:
        InvalidRequest: the model does not support this number, or `seconds` is not a number.
    """
    if seconds is None or num_frames is not None:
        if seconds is not None:
            _number_of(seconds)
        value = span.default if num_frames is None else num_frames
        if _is_frame_count(value, span):
            return value
        near = _nearest(value, span.min, span.max, FRAMES_PER_LATENT, 1)
        raise InvalidRequest(
            f"num_frames is {value}; it must be one more than a multiple of 6, from {span.min} to "
            f"{span.max}. Nearest: {' or '.join(map(str, near))}",
            param="num_frames",
        )
    return _frames_in(str(seconds), fps, span)


def ignored_seconds(seconds: str | float | None, num_frames: int | None, fps: int) -> str | None:
    """`seconds` as text, if `num_frames` is another length and so is used instead; else None."""
    if seconds is None or num_frames is None or _is_length(num_frames, fps, float(seconds)):
        return None
    return str(seconds)


def _number_of(seconds: str | float) -> float:
    text = str(seconds)
    if not re.fullmatch(SECONDS, text):
        raise InvalidRequest(
            f"seconds is {text[:40]!r}; it must be a number, such as '4'", param="seconds"
        )
    return float(text)


def _is_length(frames: int, fps: int, seconds: float) -> bool:
    # The output of seconds_of(), rounded to milliseconds, must be accepted.
    return abs((frames - 1) / fps - seconds) < MILLISECOND


def _frames_in(text: str, fps: int, span: Span) -> int:
    exact = _number_of(text) * fps + 1
    near = _nearest(exact, span.min, span.max, FRAMES_PER_LATENT, 1)
    for frames in near:
        if _is_length(frames, fps, float(text)):
            return frames
    raise InvalidRequest(
        f"seconds is {text} at {fps} fps, which is not supported (num_frames must be 6k+1, from "
        f"{span.min} to {span.max}). Nearest: {' or '.join(seconds_of(n, fps) for n in near)}",
        param="seconds",
    )


def _is_frame_count(value: int, span: Span) -> bool:
    return span.min <= value <= span.max and value % FRAMES_PER_LATENT == 1


def _nearest(value: float, low: int, high: int, step: int, offset: int) -> tuple[int, ...]:
    """The one or two values `step * k + offset` in [low, high] that are closest to `value`."""
    first = low + (offset - low) % step
    last = high - (high - offset) % step
    below = int((min(max(value, first), last) - offset) // step) * step + offset
    above = below if below >= value or below == last else below + step
    return (below,) if above == below else (below, above)
