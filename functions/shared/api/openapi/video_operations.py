"""What can be done with videos."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from functions.shared.api.answers import VideoList
from functions.shared.api.openapi.operation import Answer, Json, Operation, ref
from functions.shared.api.video_object import Video
from functions.shared.errors import (
    ContentNotReady,
    IdempotencyKeyReused,
    NotFound,
    QueueFull,
    RangeNotSatisfiable,
    Unauthorized,
    VideoDeleted,
    VideoNotFound,
)

JSON: Final = "application/json"
VIDEO_ID: Final = ref("parameters", "video_id")
LIST_PARAMETERS: Final = (
    "after",
    "limit",
    "order",
    "status",
    "created_after",
    "created_before",
    "metadata",
    "q",
)
FILE_HEADERS: Final = ("ETag", "Accept-Ranges", "Cache-Control", "Content-Disposition")
FILE: Final[Json] = {"video/mp4": {}, "image/jpeg": {}}


def video_operations(example: Video) -> list[Operation]:
    """The operations on videos; `example` is one as it is answered."""
    content = _content()
    head = replace(
        content,
        id="headVideoContent",
        method="head",
        summary="Look at a file without its bytes",
        description="Answers as GET does, without the bytes; ranges are not looked at.",
        answers={status: content.answers[status] for status in (200, 304)},
        errors=(Unauthorized, VideoNotFound, ContentNotReady, NotFound),
        parameters=[p for p in content.parameters if "Range" not in p["$ref"]],
    )
    return [
        _create(example),
        _page(example),
        _video(example),
        _delete(),
        _cancel(),
        _remix(example),
        content,
        head,
    ]


def _create(example: Video) -> Operation:
    asked = {"prompt": example["prompt"], "seed": example["seed"]}
    schema = {"schema": ref("schemas", "CreateVideo"), "example": asked}
    encoding = {"metadata": {"style": "deepObject", "explode": True}}
    form: Json = {"schema": ref("schemas", "CreateVideoForm"), "encoding": encoding}
    return Operation(
        id="createVideo",
        method="post",
        path="/v1/videos",
        tag="videos",
        summary="Ask for a video",
        description="Answers once the request is stored. What the model can't make is refused with "
        "the nearest values that it can, and never silently changed.",
        parameters=[ref("parameters", "Idempotency-Key")],
        body={
            "required": True,
            "content": {
                JSON: schema,
                "multipart/form-data": form,
                "application/x-www-form-urlencoded": form,
            },
        },
        answers={202: _accepted(example)},
        errors=(Unauthorized, VideoDeleted, IdempotencyKeyReused, QueueFull),
    )


def _remix(example: Video) -> Operation:
    return Operation(
        id="remixVideo",
        method="post",
        path="/v1/videos/{video_id}/remix",
        tag="videos",
        summary="Make a video once more, with another prompt",
        description="With the settings and the seed of the other, in whatever state that is.",
        parameters=[VIDEO_ID, ref("parameters", "Idempotency-Key")],
        body={
            "required": True,
            "content": {
                JSON: {"schema": ref("schemas", "RemixVideo")},
                "multipart/form-data": {"schema": ref("schemas", "RemixVideoForm")},
                "application/x-www-form-urlencoded": {"schema": ref("schemas", "RemixVideoForm")},
            },
        },
        answers={202: _accepted(example)},
        errors=(Unauthorized, VideoNotFound, VideoDeleted, IdempotencyKeyReused, QueueFull),
    )


def _accepted(example: Video) -> Answer:
    return Answer(
        "The video as it will be made, or, for a key that was used before, as it is now.",
        {JSON: ref("schemas", "Video")},
        ("Location", "openai-poll-after-ms"),
        ("retrieve", "download", "cancel", "delete", "remix"),
        example,
    )


def _page(example: Video) -> Operation:
    page: VideoList = {
        "object": "list",
        "data": [example],
        "first_id": example["id"],
        "last_id": example["id"],
        "has_more": False,
    }
    return Operation(
        id="listVideos",
        method="get",
        path="/v1/videos",
        tag="videos",
        summary="List videos",
        description="A video must fulfil all filters. Parameters that are not known are ignored.",
        parameters=[ref("parameters", name) for name in LIST_PARAMETERS],
        answers={200: _json("VideoList", "A page of them.", page)},
        errors=(Unauthorized,),
    )


def _video(example: Video) -> Operation:
    return Operation(
        id="getVideo",
        method="get",
        path="/v1/videos/{video_id}",
        tag="videos",
        summary="Look at a video",
        description="Its state, its progress, its place in the queue.",
        parameters=[VIDEO_ID],
        answers={
            200: Answer(
                "The video as it is now.",
                {JSON: ref("schemas", "Video")},
                ("openai-poll-after-ms",),
                example=example,
            )
        },
        errors=(Unauthorized, VideoNotFound),
    )


def _delete() -> Operation:
    return Operation(
        id="deleteVideo",
        method="delete",
        path="/v1/videos/{video_id}",
        tag="videos",
        summary="Delete a video",
        description="In whatever state it is, with its files. After a 503, do it again.",
        parameters=[VIDEO_ID],
        answers={200: _json("DeletedVideo", "It is gone, or was gone before.")},
        errors=(Unauthorized, VideoNotFound),
    )


def _cancel() -> Operation:
    return Operation(
        id="cancelVideo",
        method="post",
        path="/v1/videos/{video_id}/cancel",
        tag="videos",
        summary="Cancel a video",
        description="It becomes `failed` with the code `cancelled`. One that has ended stays as it "
        "is.",
        parameters=[VIDEO_ID],
        answers={200: _json("Video", "The video as it is now.")},
        errors=(Unauthorized, VideoNotFound),
    )


def _content() -> Operation:
    return Operation(
        id="getVideoContent",
        method="get",
        path="/v1/videos/{video_id}/content",
        tag="videos",
        summary="Download a file",
        description="The video, a picture of it, or a sheet of pictures.",
        parameters=[
            VIDEO_ID,
            *(
                ref("parameters", name)
                for name in ("variant", "Range", "If-Range", "If-None-Match")
            ),
        ],
        answers={
            200: Answer("The whole file.", FILE, (*FILE_HEADERS, "Content-Length")),
            206: Answer(
                "The part that was asked for.",
                FILE,
                (*FILE_HEADERS, "Content-Length", "Content-Range"),
            ),
            304: Answer("The caller has it already.", headers=("ETag", "Cache-Control")),
        },
        errors=(Unauthorized, VideoNotFound, ContentNotReady, NotFound, RangeNotSatisfiable),
    )


def _json(schema: str, description: str, example: Any = None) -> Answer:
    return Answer(description, {JSON: ref("schemas", schema)}, example=example)
