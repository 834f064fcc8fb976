"""A request for a video: its shape, its limits, and how its defaults are resolved."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from functions.shared.errors import InvalidRequest
from functions.shared.profiles import FRAMES_PER_LATENT, Profile, RealSpan, Span

MAX_PROMPT_CHARACTERS: Final = 4096
# The range that every framework's generator takes, and that JSON numbers carry without loss.
MAX_SEED: Final = 2**32 - 1


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must say what the video should show; it is empty")
    return text


MILLISECOND: Final = 0.001

Prompt = Annotated[
    str,
    Field(min_length=1, max_length=MAX_PROMPT_CHARACTERS),
    AfterValidator(_not_blank),
]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=16),
]


class VideoRequest(BaseModel):
    """What a caller asks for. Only `prompt` is required; the model's profile gives the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    prompt: Prompt = Field(description="What the video should show.")
    negative_prompt: str | None = Field(
        None, max_length=MAX_PROMPT_CHARACTERS, description="What it should not show."
    )
    model: str | None = Field(
        None, max_length=128, description="Any name; the answer names the model really used."
    )
    size: str | None = Field(
        None, pattern=r"^[0-9]{1,5}x[0-9]{1,5}$", description="WIDTHxHEIGHT in pixels."
    )
    width: int | None = Field(None, description="In pixels, a multiple of 16.")
    height: int | None = Field(None, description="In pixels, a multiple of 16.")
    seconds: str | float | None = Field(
        None,
        description="From the first frame to the last: num_frames is seconds times fps, plus one.",
    )
    num_frames: int | None = Field(None, description="One more than a multiple of 6.")
    fps: int | None = Field(None, description="Frames a second that the file plays at.")
    num_inference_steps: int | None = Field(None, description="Denoising steps.")
    guidance_scale: float | None = Field(
        None, description="Weight of the prompt; 1 or less turns guidance off."
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=MAX_SEED,
        description="The same seed and settings make the same video; absent: from the id.",
    )
    metadata: Metadata | None = Field(None, description="Up to 16 pairs, returned as they came.")


class ResolvedRequest(BaseModel):
    """A request in which nothing is left open. Sizes in pixels, `fps` in frames a second."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompt: str
    negative_prompt: str
    model: str
    width: int
    height: int
    num_frames: int
    fps: int
    num_inference_steps: int
    guidance_scale: float
    seed: int
    metadata: dict[str, str]

    @property
    def size(self) -> str:
        """`WIDTHxHEIGHT`, as the OpenAI API writes it."""
        return f"{self.width}x{self.height}"

    @property
    def seconds(self) -> str:
        """The time from the first frame to the last, as the OpenAI API writes it: a string."""
        return seconds_of(self.num_frames, self.fps)

    @classmethod
    def of(cls, request: VideoRequest, profile: Profile, account: str, video_id: str) -> Self:
        """Fill in what the caller left open: a pure function, so every part resolves the same.

        Raises:
            InvalidRequest: Mochi can't make this; `param` names the field and the message the
                nearest values that it can.
        """
        fps = _whole("fps", request.fps, profile.fps)
        width, height = _size(request, profile)
        guidance = _real("guidance_scale", request.guidance_scale, profile.guidance_scale)
        return cls(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt or "",
            model=profile.name,
            width=width,
            height=height,
            num_frames=_frames(request, profile, fps),
            fps=fps,
            num_inference_steps=_whole(
                "num_inference_steps", request.num_inference_steps, profile.num_inference_steps
            ),
            guidance_scale=guidance,
            seed=default_seed(account, video_id) if request.seed is None else request.seed,
            metadata=dict(request.metadata or {}),
        )


def default_seed(account: str, video_id: str) -> int:
    """The seed of a request that names none: the same wherever it is worked out."""
    digest = hashlib.sha256(f"{account}/{video_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def seconds_of(num_frames: int, fps: int) -> str:
    """`(num_frames - 1) / fps`, without trailing zeros and to the millisecond."""
    return f"{(num_frames - 1) / fps:.3f}".rstrip("0").rstrip(".")


def _whole(name: str, value: int | None, span: Span) -> int:
    if value is None:
        return span.default
    if not span.min <= value <= span.max:
        raise InvalidRequest(
            f"{name} is {value}; it must be a whole number from {span.min} to {span.max}",
            param=name,
        )
    return value


def _real(name: str, value: float | None, span: RealSpan) -> float:
    if value is None:
        return span.default
    if not span.min <= value <= span.max:
        raise InvalidRequest(
            f"{name} is {value:g}; it must be from {span.min:g} to {span.max:g}", param=name
        )
    return value


def _size(request: VideoRequest, profile: Profile) -> tuple[int, int]:
    asked = (request.width, request.height)
    names = ("width", "height")
    if request.size is not None:
        width, _, height = request.size.partition("x")
        from_size = (int(width), int(height))
        for name, given, parsed in zip(names, asked, from_size, strict=True):
            if given is not None and given != parsed:
                raise InvalidRequest(
                    f"{name} is {given}, but size is {request.size}; send one of them", param=name
                )
        asked, names = from_size, ("size", "size")
    found = tuple(
        _side(name, kind, value, span)
        for name, kind, value, span in zip(
            names, ("width", "height"), asked, (profile.width, profile.height), strict=True
        )
    )
    if found[0] * found[1] > profile.max_pixels:
        raise InvalidRequest(
            f"{found[0]}x{found[1]} has more pixels than {profile.name} makes "
            f"({profile.max_pixels}); sizes that work: {', '.join(profile.sizes)}",
            param=names[0],
        )
    return found[0], found[1]


def _side(name: str, kind: str, value: int | None, span: Span) -> int:
    if value is None:
        return span.default
    if span.min <= value <= span.max and value % span.multiple == 0:
        return value
    near = _nearest(value, span.min, span.max, span.multiple, 0)
    raise InvalidRequest(
        f"{kind} is {value}; it must be a multiple of {span.multiple} from {span.min} to "
        f"{span.max}. Nearest: {' or '.join(map(str, near))}",
        param=name,
    )


def _frames(request: VideoRequest, profile: Profile, fps: int) -> int:
    span = profile.num_frames
    if request.seconds is None:
        value = span.default if request.num_frames is None else request.num_frames
        if _is_frame_count(value, span):
            return value
        near = _nearest(value, span.min, span.max, FRAMES_PER_LATENT, 1)
        raise InvalidRequest(
            f"num_frames is {value}; it must be one more than a multiple of 6, from {span.min} to "
            f"{span.max}. Nearest: {' or '.join(map(str, near))}",
            param="num_frames",
        )
    value = _frames_in(str(request.seconds), fps, span)
    if request.num_frames not in (None, value):
        raise InvalidRequest(
            f"num_frames is {request.num_frames}, but seconds is {request.seconds} ({value} frames "
            f"at {fps} fps); send one of them",
            param="num_frames",
        )
    return value


def _frames_in(text: str, fps: int, span: Span) -> int:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
        raise InvalidRequest(
            f"seconds is {text[:40]!r}; it must be a number, such as '4'", param="seconds"
        )
    exact = float(text) * fps + 1
    near = _nearest(exact, span.min, span.max, FRAMES_PER_LATENT, 1)
    for frames in near:
        # seconds_of() rounds to milliseconds, and what it wrote must be found again.
        if abs((frames - 1) / fps - float(text)) < MILLISECOND:
            return frames
    raise InvalidRequest(
        f"seconds is {text} at {fps} fps, which Mochi can't make (frames come as 6k+1, from "
        f"{span.min} to {span.max}). Nearest: {' or '.join(seconds_of(n, fps) for n in near)}",
        param="seconds",
    )


def _is_frame_count(value: int, span: Span) -> bool:
    return span.min <= value <= span.max and value % FRAMES_PER_LATENT == 1


def _nearest(value: float, low: int, high: int, step: int, offset: int) -> tuple[int, ...]:
    """The one or two values `step * k + offset` in [low, high] that lie closest around `value`."""
    first = low + (offset - low) % step
    last = high - (high - offset) % step
    below = int((min(max(value, first), last) - offset) // step) * step + offset
    above = below if below >= value or below == last else below + step
    return (below,) if above == below else (below, above)
