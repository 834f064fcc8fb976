"""Requests for videos: their fields, their limits, and how defaults are resolved."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from functions.shared.subjects import TOKEN
from functions.shared.video.fairness import Priority
from functions.shared.video.limits import (
    checked_float,
    checked_int,
    checked_quality,
    frame_count,
    ignored_seconds,
    seconds_of,
)
from functions.shared.video.profiles import Profile, Quality
from functions.shared.video.sizes import size_in_pixels
from functions.shared.video.visible_text import has_visible_text

MAX_PROMPT_CHARACTERS: Final = 4096
MAX_METADATA_PAIRS: Final = 16
MAX_USER_CHARACTERS: Final = 512
# Every framework's random generator accepts this range, and JSON numbers represent it exactly.
MAX_SEED: Final = 2**32 - 1


def _not_blank(text: str) -> str:
    if not has_visible_text(text):
        raise ValueError("must say what the video should show; it is empty")
    return text


Prompt = Annotated[
    str,
    Field(min_length=1, max_length=MAX_PROMPT_CHARACTERS),
    AfterValidator(_not_blank),
]
NegativePrompt = Annotated[
    str,
    Field(max_length=MAX_PROMPT_CHARACTERS),
    # The model treats an empty text differently from one without any visible character.
    AfterValidator(lambda text: text if has_visible_text(text) else ""),
]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=MAX_METADATA_PAIRS),
]


# A request makes one video: a caller who asks for two must not believe that one answer has both.
One = Annotated[int, Field(ge=1, le=1)]


class NewVideo(BaseModel):
    """What every request for a new video may have; only `prompt` is required."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    prompt: Prompt = Field(description="What the video should show.")
    model: str | None = Field(
        None,
        max_length=128,
        description="Any name; the response has the name of the model used.",
    )
    user: str | None = Field(
        None,
        max_length=MAX_USER_CHARACTERS,
        description="Your own name for whoever asks for the video; returned unchanged.",
    )
    metadata: Metadata | None = Field(None, description="Up to 16 pairs, returned unchanged.")
    priority: Priority | None = Field(
        None,
        description="Orders the videos of your account while they wait: `high`, `normal` or `low`. "
        "Default: normal.",
    )
    n: One | None = Field(None, description="Each request makes one video.")
    num_outputs_per_prompt: One | None = Field(None, description="The same as `n`.")
    generator_device: str | None = Field(
        None, max_length=64, description="Accepted from clients that always send it; no effect."
    )


# Fields of a request that change nothing about its video.
WITHOUT_EFFECT: Final = frozenset({"n", "num_outputs_per_prompt", "generator_device"})


class VideoRequest(NewVideo):
    """A caller's request. Only `prompt` is required; the model's profile has the other defaults."""

    negative_prompt: NegativePrompt | None = Field(
        None, description="What the video should not show; blank is the same as empty."
    )
    size: str | None = Field(
        None, pattern=r"^[0-9]{1,5}x[0-9]{1,5}$", description="WIDTHxHEIGHT in pixels."
    )
    width: int | None = Field(None, description="In pixels, a multiple of 16.")
    height: int | None = Field(None, description="In pixels, a multiple of 16.")
    seconds: str | float | None = Field(
        None,
        description="Time from the first to the last frame: num_frames is seconds * fps + 1. "
        "If both are given and differ, num_frames is used.",
    )
    num_frames: int | None = Field(None, description="One more than a multiple of 6.")
    fps: int | None = Field(None, description="Frames per second at playback.")
    num_inference_steps: int | None = Field(None, description="Denoising steps.")
    guidance_scale: float | None = Field(
        None, description="Weight of the prompt; 1 or less disables guidance."
    )
    quality: Quality | None = Field(
        None,
        description="`exact` computes every step; `fast` reuses steps that change little, for "
        "nearly the same video in less time. Default: exact.",
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=MAX_SEED,
        description="The same seed and settings give the same video; by default from the id.",
    )


class RemixRequest(NewVideo):
    """A caller's request for another video with the same settings and another prompt."""

    prompt: Prompt = Field(description="What the video should show instead.")
    metadata: Metadata | None = Field(
        None, description="Replaces the pairs of the source, which are kept by default."
    )


class RemixedRequest(VideoRequest):
    """A request that may be a remix of another video."""

    remixed_from_video_id: str | None = Field(
        None,
        pattern=f"^{TOKEN}$",
        description="The id of the video that this one takes its settings from.",
    )


class ResolvedRequest(BaseModel):
    """A request with every default resolved. Sizes in pixels, `fps` in frames per second."""

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
    # Events of older versions have none.
    quality: Quality = "exact"
    seed: int
    metadata: dict[str, str]
    user: str | None = None
    # Nor do they have this.
    priority: Priority = "normal"
    remixed_from_video_id: str | None = None
    ignored_seconds: str | None = Field(
        None, description="The `seconds` of the request, if `num_frames` differed and was used."
    )

    @property
    def size(self) -> str:
        """`WIDTHxHEIGHT`, like in the OpenAI API."""
        return f"{self.width}x{self.height}"

    @property
    def seconds(self) -> str:
        """The time from the first to the last frame, as a string, like in the OpenAI API."""
        return seconds_of(self.num_frames, self.fps)

    def as_request(self) -> dict[str, Any]:
        """The fields of a request that resolves to this one, wherever it is resolved."""
        # Without empty fields and the quality that all videos had: during an upgrade, older
        # functions refuse fields they don't know.
        fields = self.model_dump(exclude={"ignored_seconds"}, exclude_none=True)
        if self.quality == "exact":
            del fields["quality"]
        if self.priority == "normal":
            del fields["priority"]
        return fields | {"seconds": self.ignored_seconds}

    @classmethod
    def resolve(cls, request: VideoRequest, profile: Profile, account: str, video_id: str) -> Self:
        """Resolve all defaults: a pure function, so every process gets the same result.

        Raises:
            InvalidRequest: the model does not support this request; `param` names the field, and
                the message the nearest supported values.
        """
        fps = checked_int("fps", request.fps, profile.fps)
        width, height = size_in_pixels(request.size, (request.width, request.height), profile)
        guidance = checked_float("guidance_scale", request.guidance_scale, profile.guidance_scale)
        return cls(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt or "",
            model=profile.name,
            width=width,
            height=height,
            num_frames=frame_count(request.seconds, request.num_frames, fps, profile.num_frames),
            fps=fps,
            ignored_seconds=ignored_seconds(request.seconds, request.num_frames, fps),
            num_inference_steps=checked_int(
                "num_inference_steps", request.num_inference_steps, profile.num_inference_steps
            ),
            guidance_scale=guidance,
            quality=checked_quality(request.quality, profile.qualities),
            seed=default_seed(account, video_id) if request.seed is None else request.seed,
            metadata=dict(request.metadata or {}),
            user=request.user,
            priority=request.priority or "normal",
            remixed_from_video_id=(
                request.remixed_from_video_id if isinstance(request, RemixedRequest) else None
            ),
        )


def default_seed(account: str, video_id: str) -> int:
    """The seed of a request without one: derived from the id, and so always the same."""
    digest = hashlib.sha256(f"{account}/{video_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
