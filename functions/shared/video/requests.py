"""A request for a video: its shape, its limits, and how its defaults are resolved."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from functions.shared.subjects import TOKEN
from functions.shared.video.limits import frame_count, real, seconds_of, size_in_pixels, whole
from functions.shared.video.profiles import Profile

MAX_PROMPT_CHARACTERS: Final = 4096
MAX_METADATA_PAIRS: Final = 16
# The range that every framework's generator takes, and that JSON numbers carry without loss.
MAX_SEED: Final = 2**32 - 1


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must say what the video should show; it is empty")
    return text


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
    Field(max_length=MAX_METADATA_PAIRS),
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


class RemixRequest(BaseModel):
    """What a caller asks for who wants a video once more, with another prompt."""

    model_config = VideoRequest.model_config

    prompt: Prompt = Field(description="What the video should show instead.")
    model: str | None = Field(
        None, max_length=128, description="Any name; the answer names the model really used."
    )
    metadata: Metadata | None = Field(
        None, description="Instead of the pairs of the source; absent: the same."
    )


class RemixedRequest(VideoRequest):
    """A request that may have been made from another video."""

    remixed_from_video_id: str | None = Field(
        None,
        pattern=f"^{TOKEN}$",
        description="The video that this one takes its settings from, with another prompt.",
    )


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
    remixed_from_video_id: str | None = None

    @property
    def size(self) -> str:
        """`WIDTHxHEIGHT`, as the OpenAI API writes it."""
        return f"{self.width}x{self.height}"

    @property
    def seconds(self) -> str:
        """The time from the first frame to the last, as the OpenAI API writes it: a string."""
        return seconds_of(self.num_frames, self.fps)

    @classmethod
    def resolve(cls, request: VideoRequest, profile: Profile, account: str, video_id: str) -> Self:
        """Fill in what the caller left open: a pure function, so every part resolves the same.

        Raises:
            InvalidRequest: Mochi can't make this; `param` names the field and the message the
                nearest values that it can.
        """
        fps = whole("fps", request.fps, profile.fps)
        width, height = size_in_pixels(request.size, (request.width, request.height), profile)
        guidance = real("guidance_scale", request.guidance_scale, profile.guidance_scale)
        return cls(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt or "",
            model=profile.name,
            width=width,
            height=height,
            num_frames=frame_count(request.seconds, request.num_frames, fps, profile.num_frames),
            fps=fps,
            num_inference_steps=whole(
                "num_inference_steps", request.num_inference_steps, profile.num_inference_steps
            ),
            guidance_scale=guidance,
            seed=default_seed(account, video_id) if request.seed is None else request.seed,
            metadata=dict(request.metadata or {}),
            remixed_from_video_id=(
                request.remixed_from_video_id if isinstance(request, RemixedRequest) else None
            ),
        )


def default_seed(account: str, video_id: str) -> int:
    """The seed of a request that names none: the same wherever it is worked out."""
    digest = hashlib.sha256(f"{account}/{video_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
