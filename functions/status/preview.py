"""Serves the newest preview of a video while it is being made."""

from __future__ import annotations

from typing import Final

from flask import Request, Response

from functions.shared.errors import NoPreview, NotFound, PreconditionFailed
from functions.shared.storage import Store
from functions.shared.streams.video_state import Snapshot
from functions.shared.video.events import Completed, Started
from functions.shared.video_objects import PREVIEW_FILE, attempt_prefix
from functions.status.download_name import content_disposition

CONTENT_TYPE: Final = "image/jpeg"


def send_preview(store: Store, snapshot: Snapshot, request: Request) -> Response:
    """Send the picture: status 200, or 304 if the caller's copy is the newest.

    Ranges are ignored: the next request may find another picture.

    Raises:
        NoPreview: there is none yet, or not any more; the message says why.
        PreconditionFailed: `If-Match` names other pictures only.
    """
    data = snapshot.data
    if not isinstance(data, Started):
        raise NoPreview(_no_preview_message(snapshot))
    prefix = attempt_prefix(snapshot.key, data.attempt, data.lease.id)
    try:
        stored = store.get(prefix + PREVIEW_FILE)
    except NotFound as missing:
        raise NoPreview from missing
    picture = b"".join(stored.chunks)
    headers = {
        "ETag": stored.etag,
        "Accept-Ranges": "none",
        "Cache-Control": "no-store",
        "Content-Disposition": content_disposition(snapshot.key.video_id, data, "-preview.jpg"),
    }
    etag = stored.etag.strip('"')
    if "If-Match" in request.headers and etag not in request.if_match:
        raise PreconditionFailed
    if request.if_none_match.contains_weak(etag) or request.if_none_match.star_tag:
        return Response(status=304, headers=headers)
    return Response(picture, 200, headers, content_type=CONTENT_TYPE)


def _no_preview_message(snapshot: Snapshot) -> str | None:
    if isinstance(snapshot.data, Completed):
        return "The video is completed, so it has no preview any more: use variant=thumbnail"
    if snapshot.terminal:
        return "The video was not completed, and its previews were removed"
    return None
