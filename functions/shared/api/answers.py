"""The bodies of answers that are no video: lists, models, deletions, errors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from functions.shared.api.video_object import Video
from functions.shared.video.profiles import FRAMES_PER_LATENT, Profile, RealSpan, Span


class VideoList(TypedDict):
    """A page of videos. `last_id` is what to send as `after` for the next one."""

    object: Literal["list"]
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedVideo(TypedDict):
    """The video and its files are gone."""

    id: str
    object: Literal["video.deleted"]
    deleted: Literal[True]


class EndedVideo(TypedDict):
    """Which video a webhook is about."""

    id: str


class VideoEnded(TypedDict):
    """What a webhook says; after it, ask for the video."""

    id: str
    object: Literal["event"]
    type: Literal["video.completed", "video.failed"]
    created_at: int
    data: EndedVideo


class ErrorDetail(TypedDict):
    """What went wrong, and what to do about it."""

    message: Annotated[str, Field(description="For people.")]
    type: Literal[
        "invalid_request_error", "authentication_error", "rate_limit_error", "server_error"
    ]
    param: Annotated[str | None, Field(description="The field, parameter or attribute at fault.")]
    code: Annotated[str, Field(description="For programs, such as `video_not_found`.")]


class Error(TypedDict):
    """Every answer from 400 on."""

    error: ErrorDetail


class Model(BaseModel):
    """What the deployed model can make; ranges include both ends."""

    id: str
    object: Literal["model"] = "model"
    owned_by: str = "genmo"
    # The day on which Mochi 1 was published.
    created: int = 1729555200
    default_size: str
    title: str
    demo: Annotated[
        bool, Field(description="A tiny model that knows a few moving shapes, not the full one.")
    ]
    width: Span
    height: Span
    max_pixels: Annotated[int, Field(description="The most that width times height may be.")]
    sizes: Annotated[tuple[str, ...], Field(description="Suggestions, not limits.")]
    num_frames: Annotated[Span, Field(description="One more than a multiple of `multiple`.")]
    fps: Span
    num_inference_steps: Span
    guidance_scale: RealSpan
    max_text_tokens: int
    example_prompts: tuple[str, ...]

    @classmethod
    def of(cls, profile: Profile) -> Model:
        """The model of `profile`."""
        limits = profile.model_dump(exclude={"name", "model"})
        limits["num_frames"]["multiple"] = FRAMES_PER_LATENT
        size = f"{profile.width.default}x{profile.height.default}"
        return cls(id=profile.name, default_size=size, **limits)


class ModelList(BaseModel):
    """The one model that is deployed."""

    object: Literal["list"] = "list"
    data: list[Model]
