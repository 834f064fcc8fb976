"""Videos as the HTTP API returns them."""

from __future__ import annotations

from typing import Final

from functions.shared.api.video_schema import (
    Video,
    VideoEngine,
    VideoError,
    VideoOutput,
    VideoSettings,
    VideoWarningObject,
)
from functions.shared.streams.video_state import Snapshot
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
from functions.shared.video.warnings import Warnings, warnings_of

# How often openai-python polls a video by default; it must be a whole number.
POLL_HEADERS: Final = {"openai-poll-after-ms": "1000"}
CANCELLED: Final[VideoError] = {"code": "cancelled", "message": "The video was cancelled."}
UNREADABLE: Final[VideoError] = {
    "code": "unreadable",
    "message": "The record of this video can't be read. Delete it and create it again.",
}


def queued_video(
    video_id: str, created: int, request: ResolvedRequest | None, *, max_age_days: int
) -> Video:
    """A video without events yet. `created` is in nanoseconds.

    `request` is None for a request that is not valid; `dispatch` will fail the video.
    """
    return {
        "id": video_id,
        "object": "video",
        "model": request.model if request else None,
        "status": State.QUEUED,
        "progress": 0,
        "stage": None,
        "preview": None,
        "created_at": created // NANOSECONDS,
        "started_at": None,
        "completed_at": None,
        "expires_at": created // NANOSECONDS + max_age_days * DAY_SECONDS,
        **_settings(request),
        "eta_seconds": None,
        "queue_position": None,
        "own_queue_position": None,
        "queue_accounts": None,
        "attempt": 0,
        "error": None,
        "warnings": _warnings(warnings_of(request)),
        "output": None,
        "timings": None,
        "model_revision": None,
        "engine": None,
    }


def video_object(snapshot: Snapshot, *, max_age_days: int) -> Video:
    """A video in the state of `snapshot`.

    Raises:
        ValueError: the video has no events, or is deleted.
    """
    data = snapshot.data
    if snapshot.queued or snapshot.deleted:
        raise ValueError(f"{snapshot.key.video_id} is not a video to show: it is queued or deleted")
    if not isinstance(data, VideoData):
        return _unreadable(snapshot, max_age_days)
    created = parse_rfc3339(data.created_at)
    video = queued_video(snapshot.key.video_id, created, data.request, max_age_days=max_age_days)
    video["status"] = STATE_OF[snapshot.name]
    video["attempt"] = data.attempt
    # Events of older versions have none, but the request tells some.
    video["warnings"] = _warnings(data.warnings) or video["warnings"]
    if data.started_at is not None:
        video["started_at"] = parse_rfc3339(data.started_at) // NANOSECONDS
    if snapshot.terminal:
        video["completed_at"] = snapshot.time // NANOSECONDS
    if isinstance(data, Progressed):
        video |= {"progress": data.progress, "stage": data.stage, "preview": data.preview}
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
    """A video whose newest event is terminal, but unreadable."""
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
        "attention_ms": engine.attention_ms,
        "attention_rejected": engine.attention_rejected,
        "decoder_format": engine.decoder_format,
        "decoder_ms": engine.decoder_ms,
        "decoder_rejected": engine.decoder_rejected,
        "compiled": engine.compiled,
        "threads": engine.threads,
        "torch": engine.torch,
        "quality": engine.quality,
        "steps_computed": engine.steps_computed,
        "steps_reused": engine.steps_reused,
        "peak_memory": engine.peak_memory,
    }


def _warnings(warnings: Warnings) -> list[VideoWarningObject]:
    return [{"code": one.code, "param": one.param, "message": one.message} for one in warnings]


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
        "quality": request.quality if request else None,
        "seed": request.seed if request else None,
        "metadata": request.metadata if request else {},
        "user": request.user if request else None,
        "priority": request.priority if request else None,
        "remixed_from_video_id": request.remixed_from_video_id if request else None,
        "size": request.size if request else None,
        "seconds": request.seconds if request else None,
    }
