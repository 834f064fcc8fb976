"""The video as the HTTP API shows it: the OpenAI Videos object, and more."""

from __future__ import annotations

from typing import Any, Final

from functions.shared.ledger import Snapshot
from functions.shared.requests import ResolvedRequest
from functions.shared.timestamps import NANOSECONDS, parse_rfc3339
from functions.shared.videos import (
    STATE_OF,
    Completed,
    EventName,
    Failed,
    Progressed,
    State,
    VideoData,
)

CANCELLED: Final = {"code": "cancelled", "message": "The video was cancelled."}
UNREADABLE: Final = {
    "code": "unreadable",
    "message": "The record of this video can't be read. Delete it and make it again.",
}
DAY: Final = 24 * 60 * 60


def queued_video(
    video_id: str, created: int, request: ResolvedRequest | None, *, max_age_days: int
) -> dict[str, Any]:
    """A video of which only the request exists; `created` in nanoseconds.

    `request` is None for a request that is not valid and waits to be failed.
    """
    return {
        "id": video_id,
        "object": "video",
        "model": request.model if request else None,
        "status": State.QUEUED.value,
        "progress": 0,
        "stage": None,
        "created_at": created // NANOSECONDS,
        "started_at": None,
        "completed_at": None,
        "expires_at": created // NANOSECONDS + max_age_days * DAY,
        **_settings(request),
        "queue_position": None,
        "attempt": 0,
        "error": None,
        "output": None,
        "timings": None,
        "model_revision": None,
    }


def video_object(snapshot: Snapshot, *, max_age_days: int) -> dict[str, Any]:
    """A video about which something was said; the snapshot's `time` must be JetStream's.

    Raises:
        ValueError: the snapshot is of a deleted video, or of one with only a request.
    """
    data = snapshot.data
    if snapshot.name is None or snapshot.deleted:
        raise ValueError(f"{snapshot.key.video_id} has nothing to show")
    if not isinstance(data, VideoData):
        return _unreadable(snapshot, max_age_days)
    created = parse_rfc3339(data.created_at)
    video = queued_video(snapshot.key.video_id, created, data.request, max_age_days=max_age_days)
    video["status"] = STATE_OF[snapshot.name].value
    video["attempt"] = data.attempt
    if data.started_at is not None:
        video["started_at"] = parse_rfc3339(data.started_at) // NANOSECONDS
    if snapshot.terminal:
        video["completed_at"] = snapshot.time // NANOSECONDS
    if isinstance(data, Progressed):
        video |= {"progress": data.progress, "stage": data.stage}
    elif isinstance(data, Completed):
        output = data.output.model_dump(exclude={"prefix"})
        video |= {"progress": 100, "output": output, "timings": data.timings}
        video["model_revision"] = data.model_revision
    elif isinstance(data, Failed):
        video["error"] = data.error.model_dump()
        video["prompt"] = video["prompt"] or data.prompt or ""
    elif snapshot.name is EventName.CANCELLED:
        video["error"] = dict(CANCELLED)
    return video


def _unreadable(snapshot: Snapshot, max_age_days: int) -> dict[str, Any]:
    """The video has ended, and more can't be read."""
    video = queued_video(snapshot.key.video_id, snapshot.time, None, max_age_days=max_age_days)
    video |= {"status": State.FAILED.value, "error": dict(UNREADABLE)}
    video["completed_at"] = snapshot.time // NANOSECONDS
    return video


def _settings(request: ResolvedRequest | None) -> dict[str, Any]:
    if request is None:
        names = (*ResolvedRequest.model_fields, "size", "seconds")
        nothing: dict[str, Any] = dict.fromkeys(names)
        return nothing | {"prompt": "", "metadata": {}}
    return {
        **request.model_dump(exclude={"model"}),
        "size": request.size,
        "seconds": request.seconds,
    }
