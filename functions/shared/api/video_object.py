"""The video as the HTTP API shows it: the OpenAI Videos object, and more."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from functions.shared.streams.ledger import Snapshot
from functions.shared.timestamps import DAY_SECONDS, NANOSECONDS, parse_rfc3339
from functions.shared.video.events import (
    STATE_OF,
    Completed,
    EngineUsed,
    EventName,
    Failed,
    Output,
    Progressed,
    State,
    VideoData,
)
from functions.shared.video.requests import ResolvedRequest


class VideoError(TypedDict):
    """Why there will be no video."""

    code: Annotated[str, Field(description="For programs, such as `cancelled`.")]
    message: Annotated[str, Field(description="For people: what happened, and the remedy.")]


class VideoOutput(TypedDict):
    """The file of a completed video."""

    bytes: int
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    width: int
    height: int
    frames: int


class VideoEngine(TypedDict):
    """What a completed video was made with."""

    device: Annotated[str, Field(description="The GPU's name, or `CPU`.")]
    ranks: Annotated[int, Field(description="Processes that made it, each with its own GPU.")]
    precision: Annotated[str, Field(description="What the model computed in.")]
    attention: Annotated[str, Field(description="The attention kernel.")]
    compiled: Annotated[bool, Field(description="Whether the transformer was compiled.")]
    peak_memory: Annotated[
        dict[str, int], Field(description="The most bytes in use, by stage, on one device.")
    ]


class VideoSettings(TypedDict):
    """What is made, every default filled in; null only where the request was not valid."""

    prompt: str
    negative_prompt: str | None
    width: int | None
    height: int | None
    num_frames: int | None
    fps: Annotated[int | None, Field(description="Frames a second that the file plays at.")]
    num_inference_steps: int | None
    guidance_scale: float | None
    seed: int | None
    metadata: dict[str, str]
    remixed_from_video_id: Annotated[
        str | None, Field(description="The video whose settings this one took over.")
    ]
    size: Annotated[str | None, Field(description="WIDTHxHEIGHT in pixels.")]
    seconds: Annotated[
        str | None, Field(description="(num_frames - 1) / fps, as text: from first to last frame.")
    ]


class Video(VideoSettings):
    """A video: the OpenAI Videos object, and more. Times are in seconds since 1970."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    object: Literal["video"]
    model: Annotated[str | None, Field(description="The model that is really used.")]
    status: Annotated[State, Field(description="A cancelled video is `failed`.")]
    progress: Annotated[int, Field(ge=0, le=100, description="Percent of the way to the file.")]
    stage: Annotated[str | None, Field(description="What is being done, such as `denoising`.")]
    created_at: int
    started_at: Annotated[int | None, Field(description="When the first attempt started.")]
    completed_at: Annotated[int | None, Field(description="When it ended, however it ended.")]
    expires_at: Annotated[int, Field(description="When it will be forgotten, with its files.")]
    eta_seconds: Annotated[
        float | None,
        Field(ge=0, description="Until it is done, as expected; null if unknown, or ended."),
    ]
    queue_position: Annotated[int | None, Field(ge=1, description="1 runs next; null: not queued.")]
    attempt: Annotated[int, Field(ge=0, description="0 before the first, and then from 1.")]
    error: VideoError | None
    output: VideoOutput | None
    timings: Annotated[
        dict[str, float] | None, Field(description="Seconds by stage, of the attempt that won.")
    ]
    model_revision: Annotated[str | None, Field(description="Which weights made it.")]
    engine: Annotated[VideoEngine | None, Field(description="What it was made with.")]


CANCELLED: Final[VideoError] = {"code": "cancelled", "message": "The video was cancelled."}
UNREADABLE: Final[VideoError] = {
    "code": "unreadable",
    "message": "The record of this video can't be read. Delete it and make it again.",
}


def queued_video(
    video_id: str, created: int, request: ResolvedRequest | None, *, max_age_days: int
) -> Video:
    """A video of which only the request exists; `created` in nanoseconds.

    `request` is None for a request that is not valid and waits to be failed.
    """
    return {
        "id": video_id,
        "object": "video",
        "model": request.model if request else None,
        "status": State.QUEUED,
        "progress": 0,
        "stage": None,
        "created_at": created // NANOSECONDS,
        "started_at": None,
        "completed_at": None,
        "expires_at": created // NANOSECONDS + max_age_days * DAY_SECONDS,
        **_settings(request),
        "eta_seconds": None,
        "queue_position": None,
        "attempt": 0,
        "error": None,
        "output": None,
        "timings": None,
        "model_revision": None,
        "engine": None,
    }


def video_object(snapshot: Snapshot, *, max_age_days: int) -> Video:
    """A video about which something was said; the snapshot's `time` must be JetStream's.

    Raises:
        ValueError: the snapshot is of a deleted video, or of one with only a request.
    """
    data = snapshot.data
    if snapshot.queued or snapshot.deleted:
        raise ValueError(f"{snapshot.key.video_id} has nothing to show")
    if not isinstance(data, VideoData):
        return _unreadable(snapshot, max_age_days)
    created = parse_rfc3339(data.created_at)
    video = queued_video(snapshot.key.video_id, created, data.request, max_age_days=max_age_days)
    video["status"] = STATE_OF[snapshot.name]
    video["attempt"] = data.attempt
    if data.started_at is not None:
        video["started_at"] = parse_rfc3339(data.started_at) // NANOSECONDS
    if snapshot.terminal:
        video["completed_at"] = snapshot.time // NANOSECONDS
    if isinstance(data, Progressed):
        video |= {"progress": data.progress, "stage": data.stage}
    elif isinstance(data, Completed):
        video |= {"progress": 100, "output": _output(data.output), "timings": data.timings}
        video["model_revision"] = data.model_revision
        video["engine"] = _engine(data.engine)
    elif isinstance(data, Failed):
        video["error"] = {"code": data.error.code, "message": data.error.message}
        video["prompt"] = video["prompt"] or data.prompt or ""
    elif snapshot.name is EventName.CANCELLED:
        video["error"] = CANCELLED
    return video


def _unreadable(snapshot: Snapshot, max_age_days: int) -> Video:
    """The video has ended, and more can't be read."""
    video = queued_video(snapshot.key.video_id, snapshot.time, None, max_age_days=max_age_days)
    video |= {"status": State.FAILED, "error": UNREADABLE}
    video["completed_at"] = snapshot.time // NANOSECONDS
    return video


def _output(output: Output) -> VideoOutput:
    return {
        "bytes": output.bytes,
        "sha256": output.sha256,
        "width": output.width,
        "height": output.height,
        "frames": output.frames,
    }


def _engine(engine: EngineUsed | None) -> VideoEngine | None:
    if engine is None:
        return None
    return {
        "device": engine.device,
        "ranks": engine.ranks,
        "precision": engine.precision,
        "attention": engine.attention,
        "compiled": engine.compiled,
        "peak_memory": engine.peak_memory,
    }


def _settings(request: ResolvedRequest | None) -> VideoSettings:
    return {
        "prompt": request.prompt if request else "",
        "negative_prompt": request.negative_prompt if request else None,
        "width": request.width if request else None,
        "height": request.height if request else None,
        "num_frames": request.num_frames if request else None,
        "fps": request.fps if request else None,
        "num_inference_steps": request.num_inference_steps if request else None,
        "guidance_scale": request.guidance_scale if request else None,
        "seed": request.seed if request else None,
        "metadata": request.metadata if request else {},
        "remixed_from_video_id": request.remixed_from_video_id if request else None,
        "size": request.size if request else None,
        "seconds": request.seconds if request else None,
    }
