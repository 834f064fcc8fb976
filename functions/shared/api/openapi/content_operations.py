"""Operations on the files of videos."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from functions.shared.api.openapi.operation import Json, Operation, Response, ref
from functions.shared.errors import (
    ContentNotReady,
    NoPreview,
    NotFound,
    PreconditionFailed,
    RangeNotSatisfiable,
    Unauthorized,
    VideoNotFound,
)

PARAMETERS: Final = ("video_id", "variant", "Range", "If-Range", "If-Match", "If-None-Match")
FILE_HEADERS: Final = ("ETag", "Accept-Ranges", "Cache-Control", "Content-Disposition")
# JSON Schema can't describe bytes. Generators of clients take this for them, and skip a response
# without a schema.
BYTES: Final[Json] = {"type": "string", "format": "binary"}
FILE: Final[Json] = {"video/mp4": BYTES, "image/jpeg": BYTES}


def content_operations() -> list[Operation]:
    """GET and HEAD of a video's files."""
    get = _get()
    head = replace(
        get,
        id="headVideoContent",
        method="head",
        summary="Retrieve the headers of a file",
        description="Responds as GET does, without the body. Ranges are ignored.",
        responses={status: get.responses[status] for status in (200, 304)},
        errors=(
            Unauthorized,
            VideoNotFound,
            ContentNotReady,
            NoPreview,
            NotFound,
            PreconditionFailed,
        ),
        parameters=[p for p in get.parameters if "Range" not in p["$ref"]],
    )
    return [get, head]


def _get() -> Operation:
    return Operation(
        id="getVideoContent",
        method="get",
        path="/v1/videos/{video_id}/content",
        tag="videos",
        summary="Download a file",
        description="Returns the video, its thumbnail, or its spritesheet. While the video is "
        "being made, `variant=preview` returns the newest picture of what it will look like, if "
        "there is one yet; the video's `preview` is its number. Of a preview, ranges are ignored.",
        parameters=[ref("parameters", name) for name in PARAMETERS],
        responses={
            200: Response("The whole file.", FILE, (*FILE_HEADERS, "Content-Length")),
            206: Response(
                "The requested range.",
                FILE,
                (*FILE_HEADERS, "Content-Length", "Content-Range"),
            ),
            304: Response("The caller's copy is current.", headers=("ETag", "Cache-Control")),
        },
        errors=(
            Unauthorized,
            VideoNotFound,
            ContentNotReady,
            NoPreview,
            NotFound,
            PreconditionFailed,
            RangeNotSatisfiable,
        ),
    )
