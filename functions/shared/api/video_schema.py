"""The Video of the HTTP API: the fields of the OpenAI Videos object, and Kinora's own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from functions.shared.subjects import TOKEN
from functions.shared.video.events import State
from functions.shared.video.fairness import Priority
from functions.shared.video.profiles import Quality


class VideoError(TypedDict):
    """Why the video failed."""

    code: Annotated[
        str,
        Field(
            description="Machine-readable, such as `cancelled`; `state_lost` if the server has "
            "lost what became of the video."
        ),
    ]
    message: Annotated[str, Field(description="Human-readable: what happened, and the remedy.")]


class VideoWarningObject(TypedDict):
    """A part of the request that has no effect on the video."""

    code: Annotated[
        str,
        Field(
            description="`prompt_truncated`, `negative_prompt_ignored` or `seconds_ignored`; "
            "later versions may have more."
        ),
    ]
    param: Annotated[str, Field(description="The field of the request.")]
    message: Annotated[str, Field(description="Human-readable: what has no effect, and why.")]


class VideoOutput(TypedDict):
    """The file of a completed video."""

    bytes: int
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    width: int
    height: int
    frames: int


class VideoEngine(TypedDict):
    """How a completed video was rendered."""

    device: Annotated[str, Field(description="The GPU's name, or `CPU`.")]
    ranks: Annotated[int, Field(description="Processes that rendered it, each with its own GPU.")]
    precision: Annotated[str, Field(description="The data type of the computation.")]
    attention: Annotated[str, Field(description="The attention kernel.")]
    attention_ms: Annotated[
        float | None, Field(description="Milliseconds that a call of it took at the start.")
    ]
    attention_rejected: Annotated[
        dict[str, str], Field(description="Why other kernels were not chosen, by name.")
    ]
    decoder_format: Annotated[
        str | None, Field(description="The memory format of the VAE's decoder.")
    ]
    decoder_ms: Annotated[
        float | None,
        Field(description="Milliseconds of a sixth of a chunk at the start, if measured."),
    ]
    decoder_rejected: Annotated[
        dict[str, str], Field(description="Why the other format was not chosen, by name.")
    ]
    compiled: Annotated[bool, Field(description="Whether the transformer was compiled.")]
    threads: Annotated[
        int | None,
        Field(description="CPU threads of each process; on a CPU, frames depend on them."),
    ]
    torch: Annotated[str | None, Field(description="The version of torch.")]
    quality: Annotated[Quality | None, Field(description="`exact`, or `fast`.")]
    steps_computed: Annotated[
        int | None, Field(description="Denoising steps that were computed whole.")
    ]
    steps_reused: Annotated[
        int | None, Field(description="Denoising steps that reused an earlier one; 0 if `exact`.")
    ]
    peak_memory: Annotated[
        dict[str, int], Field(description="Peak memory of one device in bytes, by stage.")
    ]


class VideoSettings(TypedDict):
    """The settings, with every default filled in; null only if the request was not valid."""

    prompt: str
    negative_prompt: str | None
    width: int | None
    height: int | None
    num_frames: int | None
    fps: Annotated[
        int | None, Field(description="Playback rate of the file, in frames per second.")
    ]
    num_inference_steps: int | None
    guidance_scale: float | None
    quality: Annotated[Quality | None, Field(description="`exact`, or `fast`.")]
    seed: int | None
    metadata: dict[str, str]
    user: Annotated[str | None, Field(description="The `user` of the request.")]
    priority: Annotated[
        Priority | None, Field(description="Its order among your own videos that wait.")
    ]
    remixed_from_video_id: Annotated[
        str | None, Field(description="The video that this one is a remix of.")
    ]
    size: Annotated[str | None, Field(description="WIDTHxHEIGHT in pixels.")]
    seconds: Annotated[
        str | None,
        Field(
            description="Time from the first frame to the last, as text: (num_frames - 1) / fps."
        ),
    ]


class Video(VideoSettings):
    """A video: the OpenAI Videos object, and more. Times are in seconds since 1970."""

    id: Annotated[str, Field(pattern=f"^{TOKEN}$")]
    object: Literal["video"]
    model: Annotated[str | None, Field(description="The model that is actually used.")]
    status: Annotated[State, Field(description="A cancelled video is `failed`.")]
    progress: Annotated[int, Field(ge=0, le=100, description="Percentage of the work done.")]
    stage: Annotated[str | None, Field(description="The current stage, such as `denoising`.")]
    preview: Annotated[
        int | None,
        Field(
            ge=1,
            description="While the video is being made: the number of the newest preview of "
            "this attempt, which `variant=preview` of its content returns; null before the first.",
        ),
    ]
    created_at: int
    started_at: Annotated[int | None, Field(description="When the first attempt started.")]
    completed_at: Annotated[int | None, Field(description="When it completed or failed.")]
    expires_at: Annotated[int, Field(description="When it will be removed, with its files.")]
    eta_seconds: Annotated[
        float | None,
        Field(ge=0, description="Estimated time until it completes; null if unknown or ended."),
    ]
    queue_position: Annotated[
        int | None, Field(ge=1, description="1 starts next; null if not queued.")
    ]
    own_queue_position: Annotated[
        int | None, Field(ge=1, description="The same, among your own videos.")
    ]
    queue_accounts: Annotated[
        int | None,
        Field(ge=1, description="How many accounts share the replicas now; null if not queued."),
    ]
    attempt: Annotated[
        int, Field(ge=0, description="0 before the first attempt, then counting from 1.")
    ]
    error: VideoError | None
    warnings: Annotated[
        list[VideoWarningObject],
        Field(description="What has no effect on the video; `prompt_truncated` once it started."),
    ]
    output: VideoOutput | None
    timings: Annotated[
        dict[str, float] | None, Field(description="Seconds by stage, of the successful attempt.")
    ]
    model_revision: Annotated[str | None, Field(description="The revision of the model's weights.")]
    engine: Annotated[VideoEngine | None, Field(description="How it was rendered.")]
