"""Bodies of responses other than a video, and of webhooks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from functions.shared.api.video_schema import Video
from functions.shared.video.profiles import FRAMES_PER_LATENT, Profile, Quality, RealSpan, Span


class VideoList(TypedDict):
    """A page of videos. Send `last_id` as `after` to get the next page."""

    object: Literal["list"]
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class AccountUsage(TypedDict):
    """What one account used on one day: videos that were completed on it, deleted ones too."""

    object: Literal["usage"]
    day: Annotated[str, Field(description="In UTC, such as `2026-11-30`.")]
    account: str
    videos: Annotated[int, Field(description="Videos that were completed.")]
    gpu_seconds: Annotated[
        float,
        Field(
            description="Seconds of their successful attempts, times the processes that made each, "
            "one per GPU."
        ),
    ]
    bytes: Annotated[int, Field(description="Size of their files video.mp4.")]


class UsageList(TypedDict):
    """Days in ascending order, with a use at all."""

    object: Literal["list"]
    data: list[AccountUsage]


class DeletedVideo(TypedDict):
    """Confirms that the video and its files are deleted."""

    id: str
    object: Literal["video.deleted"]
    deleted: Literal[True]


class EndedVideo(TypedDict):
    """The video that a webhook is about."""

    id: str


class VideoEnded(TypedDict):
    """The body of a webhook. Retrieve the video for its details."""

    id: str
    object: Literal["event"]
    type: Literal["video.completed", "video.failed"]
    created_at: int
    data: EndedVideo


class ErrorDetail(TypedDict):
    """What went wrong, and the remedy."""

    message: Annotated[str, Field(description="Human-readable.")]
    type: Literal[
        "invalid_request_error", "authentication_error", "rate_limit_error", "server_error"
    ]
    param: Annotated[
        str | None, Field(description="The field, parameter, header or attribute at fault.")
    ]
    code: Annotated[str, Field(description="Machine-readable, such as `video_not_found`.")]


class ErrorResponse(TypedDict):
    """The body of every response with a status of 400 or above."""

    error: ErrorDetail


class Health(TypedDict):
    """Videos can be made and read."""

    status: Literal["available"]


class Model(BaseModel):
    """The deployed model and its limits. Ranges are inclusive."""

    id: str
    object: Literal["model"] = "model"
    owned_by: str = "genmo"
    # The day that Mochi 1 was released.
    created: int = 1729555200
    default_size: str
    title: str
    demo: Annotated[
        bool, Field(description="Whether this is the demo model, which only renders moving shapes.")
    ]
    width: Span
    height: Span
    max_pixels: Annotated[int, Field(description="Maximum of width times height.")]
    sizes: Annotated[tuple[str, ...], Field(description="Suggestions, not limits.")]
    num_frames: Annotated[Span, Field(description="One more than a multiple of `multiple`.")]
    fps: Span
    num_inference_steps: Span
    guidance_scale: RealSpan
    qualities: Annotated[
        tuple[Quality, ...], Field(description="Values of `quality`, the default first.")
    ]
    max_text_tokens: int
    example_prompts: tuple[str, ...]

    @classmethod
    def from_profile(cls, profile: Profile) -> Model:
        """The model that `profile` describes."""
        limits = profile.model_dump(exclude={"name", "model", "sigmas", "fast"})
        limits["num_frames"]["multiple"] = FRAMES_PER_LATENT
        size = f"{profile.width.default}x{profile.height.default}"
        return cls(id=profile.name, default_size=size, qualities=profile.qualities, **limits)


class ModelList(BaseModel):
    """The deployed model, the only one."""

    object: Literal["list"] = "list"
    data: list[Model]
