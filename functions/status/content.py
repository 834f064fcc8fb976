"""Serving the files of videos from the object store: whole, in part, or not again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from flask import Request, Response

from functions.shared.errors import ContentLost, ContentNotReady, NotFound
from functions.shared.storage import Store
from functions.shared.streams.ledger import Snapshot
from functions.shared.video.events import Completed, EventName, Failed

# One range only, as browsers and download tools send it; anything else may be ignored (RFC 9110,
# section 14.2), and the whole file is the answer.
_RANGE: Final = re.compile(r"bytes=(?=[0-9-]*[0-9])([0-9]{0,15})-([0-9]{0,15})")


@dataclass(frozen=True)
class Variant:
    """One of the files that `generate` writes for each video."""

    file: str
    content_type: str
    suffix: str


VARIANTS: Final = {
    "video": Variant("video.mp4", "video/mp4", ".mp4"),
    "thumbnail": Variant("thumbnail.jpg", "image/jpeg", ".jpg"),
    "spritesheet": Variant("spritesheet.jpg", "image/jpeg", "-spritesheet.jpg"),
}


def send_content(store: Store, snapshot: Snapshot, variant: Variant, request: Request) -> Response:
    """The file, streamed: 200, 206 for a range, or 304 for a caller who has it already.

    Raises:
        ContentNotReady: the video is not completed; the message says what it is instead.
        ContentLost: the file is gone from the store.
        RangeNotSatisfiable: the range lies outside the file.
    """
    if not isinstance(snapshot.data, Completed):
        raise ContentNotReady(_why_not(snapshot))
    output = snapshot.data.output
    # A completed video never changes, so the digest of the video names each of its files.
    etag = f'"{output.sha256}{"" if variant.file == "video.mp4" else variant.suffix}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'inline; filename="{snapshot.key.video_id}{variant.suffix}"',
    }
    if request.if_none_match.contains_weak(etag.strip('"')) or request.if_none_match.star_tag:
        return Response(status=304, headers=headers)
    try:
        stored = store.get(output.prefix + variant.file, _wanted_range(request, etag))
    except NotFound as lost:
        raise ContentLost from lost
    headers["Content-Length"] = str(stored.size)
    if stored.content_range is not None:
        headers["Content-Range"] = stored.content_range
    status = 200 if stored.content_range is None else 206
    return Response(
        stored.chunks, status, headers, content_type=variant.content_type, direct_passthrough=True
    )


def _wanted_range(request: Request, etag: str) -> str | None:
    # Only GET knows ranges (section 14.2): HEAD tells about the whole file.
    wanted = request.headers.get("Range") if request.method == "GET" else None
    # A range of another version of the file would not fit to what the caller has (section 13.1.5).
    if wanted is None or request.headers.get("If-Range", etag) != etag:
        return None
    match = _RANGE.fullmatch(wanted)
    # A range that ends before it begins is not valid, and so not there (section 14.1.1).
    if match is None or (match[1] and match[2] and int(match[2]) < int(match[1])):
        return None
    return wanted


def _why_not(snapshot: Snapshot) -> str:
    if isinstance(snapshot.data, Failed):
        return f"The video failed, so there is nothing to download: {snapshot.data.error.message}"
    if snapshot.name is EventName.CANCELLED:
        return "The video was cancelled, so there is nothing to download"
    return "The video is not finished yet: wait until its status is 'completed'"
