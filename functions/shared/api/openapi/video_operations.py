"""Operations on videos: create, remix, list, retrieve, cancel and delete them."""

from __future__ import annotations

from typing import Final

from functions.shared.api.openapi.operation import (
    JSON,
    Json,
    Operation,
    Response,
    json_response,
    ref,
)
from functions.shared.api.parameters import LIST_PARAMETERS
from functions.shared.api.response_bodies import VideoList
from functions.shared.api.video_schema import Video
from functions.shared.errors import (
    IdempotencyKeyReused,
    QueueFull,
    Unauthorized,
    VideoDeleted,
    VideoNotFound,
)

VIDEO_ID: Final = ref("parameters", "video_id")


def video_operations(example: Video) -> list[Operation]:
    """The operations on videos; `example` is a video as it is returned."""
    return [_create(example), _list(example), _get(example), _delete(), _cancel(), _remix(example)]


def _create(example: Video) -> Operation:
    sent = {"prompt": example["prompt"], "seed": example["seed"]}
    return Operation(
        id="createVideo",
        method="post",
        path="/v1/videos",
        tag="videos",
        summary="Create a video",
        description="Returns once the request is stored. Values that the model can't render are "
        "refused, with the nearest values that it can, and never silently changed.",
        parameters=[ref("parameters", "Idempotency-Key")],
        body=_body("CreateVideo", sent),
        responses={200: _accepted(example)},
        errors=(Unauthorized, VideoDeleted, IdempotencyKeyReused, QueueFull),
    )


def _remix(example: Video) -> Operation:
    return Operation(
        id="remixVideo",
        method="post",
        path="/v1/videos/{video_id}/remix",
        tag="videos",
        summary="Remix a video",
        description="Creates a video with another prompt, and the settings and seed of this one, "
        "which may be in any state.",
        parameters=[VIDEO_ID, ref("parameters", "Idempotency-Key")],
        body=_body("RemixVideo", {"prompt": "the same at night"}),
        responses={200: _accepted(example)},
        errors=(Unauthorized, VideoNotFound, VideoDeleted, IdempotencyKeyReused, QueueFull),
    )


def _body(schema: str, example: Json) -> Json:
    """A body in JSON or as a form; the schemas of forms are named after their encoding."""
    encoding = {"metadata": {"style": "deepObject", "explode": True}}
    forms = {"multipart/form-data": "Multipart", "application/x-www-form-urlencoded": "UrlEncoded"}
    return {
        "required": True,
        "content": {
            JSON: {"schema": ref("schemas", schema), "example": example},
            **{
                media: {"schema": ref("schemas", f"{schema}{name}"), "encoding": encoding}
                for media, name in forms.items()
            },
        },
    }


def _accepted(example: Video) -> Response:
    return Response(
        "The new video; or, if the idempotency key was used before, that video as it is now.",
        {JSON: ref("schemas", "Video")},
        ("Location", "openai-poll-after-ms"),
        ("retrieve", "download", "cancel", "delete", "remix"),
        example,
    )


def _list(example: Video) -> Operation:
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
        description="Returns videos that match all filters. An unknown parameter gets 400.",
        parameters=[ref("parameters", name) for name in LIST_PARAMETERS],
        responses={200: json_response("VideoList", "A page of videos.", page)},
        errors=(Unauthorized,),
    )


def _get(example: Video) -> Operation:
    return Operation(
        id="getVideo",
        method="get",
        path="/v1/videos/{video_id}",
        tag="videos",
        summary="Retrieve a video",
        description="Returns its state, progress and place in the queue.",
        parameters=[VIDEO_ID],
        responses={
            200: Response(
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
        description="Deletes a video in any state, with its files. Idempotent: after a 503, retry.",
        parameters=[VIDEO_ID],
        responses={200: json_response("DeletedVideo", "The video is deleted, or was before.")},
        errors=(Unauthorized, VideoNotFound),
    )


def _cancel() -> Operation:
    return Operation(
        id="cancelVideo",
        method="post",
        path="/v1/videos/{video_id}/cancel",
        tag="videos",
        summary="Cancel a video",
        description="The video becomes `failed` with the code `cancelled`. A completed or failed "
        "video stays as it is.",
        parameters=[VIDEO_ID],
        responses={200: json_response("Video", "The video as it is now.")},
        errors=(Unauthorized, VideoNotFound),
    )
