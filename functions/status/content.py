"""Serves the files of videos from the object store, with range and conditional requests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from flask import Request, Response

from functions.shared.errors import (
    ContentLost,
    ContentNotReady,
    NotFound,
    PreconditionFailed,
    RangeNotSatisfiable,
)
from functions.shared.storage import Store
from functions.shared.streams.video_state import Snapshot
from functions.shared.video.events import Completed, EventName, Failed
from functions.shared.video_objects import SPRITESHEET_FILE, THUMBNAIL_FILE, VIDEO_FILE
from functions.status import gateway_fetch
from functions.status.download_name import content_disposition

# One range only, as browsers and download tools send it. Anything else may be ignored (RFC 9110,
# section 14.2), and is answered with the whole file.
_RANGE: Final = re.compile(r"bytes=(?=[0-9-]*[0-9])([0-9]{0,15})-([0-9]{0,15})")


@dataclass(frozen=True)
class StoredVariant:
    """One of the files that `generate` stores for each video."""

    file: str
    content_type: str
    suffix: str


VARIANTS: Final = {
    "video": StoredVariant(VIDEO_FILE, "video/mp4", ".mp4"),
    "thumbnail": StoredVariant(THUMBNAIL_FILE, "image/jpeg", ".jpg"),
    "spritesheet": StoredVariant(SPRITESHEET_FILE, "image/jpeg", "-spritesheet.jpg"),
}


def send_content(
    store: Store, snapshot: Snapshot, variant: StoredVariant, request: Request
) -> Response:
    """Stream the file: status 200, 206 for a range, or 304 if the caller's copy is current.

    Of the video itself, the gateway may fetch the bytes in its place: see `gateway_fetch`.

    Raises:
        ContentNotReady: the video is not completed; the message says why.
        PreconditionFailed: `If-Match` names other files only.
        ContentLost: the file is gone from the store.
        RangeNotSatisfiable: the range is outside the file.
    """
    if not isinstance(snapshot.data, Completed):
        raise ContentNotReady(_not_ready_message(snapshot))
    output = snapshot.data.output
    # A completed video never changes, so the digest of video.mp4 identifies each of its files.
    etag = f'"{output.sha256}{"" if variant.file == VIDEO_FILE else variant.suffix}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": content_disposition(
            snapshot.key.video_id, snapshot.data, variant.suffix
        ),
    }
    # The order of both conditions is that of RFC 9110, section 13.2.2.
    if "If-Match" in request.headers and etag.strip('"') not in request.if_match:
        raise PreconditionFailed
    if request.if_none_match.contains_weak(etag.strip('"')) or request.if_none_match.star_tag:
        return Response(status=304, headers=headers)
    key, byte_range = output.prefix + variant.file, _requested_range(request, etag)
    if variant.file == VIDEO_FILE and gateway_fetch.is_offered(request):
        bounds = None if byte_range is None else _bounds(byte_range, output.bytes)
        headers["Content-Type"] = variant.content_type
        return gateway_fetch.redirect(store.signed_url(key), output.bytes, bounds, headers)
    try:
        stored = store.get(key, byte_range)
    except NotFound as lost:
        raise ContentLost from lost
    headers["Content-Length"] = str(stored.size)
    if stored.content_range is not None:
        headers["Content-Range"] = stored.content_range
    status = 200 if stored.content_range is None else 206
    return Response(stored.chunks, status, headers, content_type=variant.content_type)


def _requested_range(request: Request, etag: str) -> str | None:
    # Ranges are defined for GET only (section 14.2); HEAD describes the whole file.
    header = request.headers.get("Range") if request.method == "GET" else None
    # A range of another version would not match the part that the caller has (section 13.1.5).
    if header is None or request.headers.get("If-Range", etag) != etag:
        return None
    match = _RANGE.fullmatch(header)
    # A range that ends before it starts is invalid, and so ignored (section 14.1.1).
    if match is None or (match[1] and match[2] and int(match[2]) < int(match[1])):
        return None
    return header


def _bounds(byte_range: str, size: int) -> tuple[int, int]:
    """The first and last byte of a valid range (section 14.1.2); may raise RangeNotSatisfiable."""
    match = _RANGE.fullmatch(byte_range)
    first, last = match.groups() if match else ("", "")
    start = int(first) if first else size - min(int(last), size)
    if start >= size:
        raise RangeNotSatisfiable(size)
    return start, min(int(last), size - 1) if first and last else size - 1


def _not_ready_message(snapshot: Snapshot) -> str:
    if isinstance(snapshot.data, Failed):
        return f"The video failed, so there is nothing to download: {snapshot.data.error.message}"
    if snapshot.name is EventName.CANCELLED:
        return "The video was cancelled, so there is nothing to download"
    return "The video is not finished yet: wait until its status is 'completed'"
