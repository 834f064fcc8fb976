"""Operations on events: submit them, and stream them."""

from __future__ import annotations

from typing import Final

from functions.shared.api.openapi.operation import JSON, Json, Operation, Response, ref
from functions.shared.errors import (
    IdempotencyKeyReused,
    QueueFull,
    TooManyStreams,
    Unauthorized,
    VideoDeleted,
    VideoNotFound,
)
from functions.shared.streams.cloudevent_attributes import MAX_ATTRIBUTE
from functions.shared.streams.cloudevents import BATCH, MAX_BATCH, STRUCTURED
from functions.shared.video.events import EventName

_ATTRIBUTES: Final = {
    "specversion": "`1.0`. If present, the body is the data of an event in binary mode.",
    "id": "With source, it identifies the event: sent again, it creates no second video.",
    "source": "The producer of the event: a URI-reference.",
    "type": f"`{EventName.REQUESTED.type}`.",
    "subject": "The id for the video; if absent, it is derived from account, source and id.",
    "time": "RFC 3339. Not used.",
}


def event_operations() -> list[Operation]:
    """CloudEvents from callers, and the stream of events to them."""
    return [_submit(), _stream()]


def _submit() -> Operation:
    return Operation(
        id="submitEvent",
        method="post",
        path="/",
        tag="events",
        summary="Submit CloudEvents that request videos",
        description="Accepts binary mode (`ce-` headers, with the data as the body), structured "
        "mode and batch mode. A batch is accepted as a whole or not at all. After a 5xx, part of "
        "it may be stored, and sending it again is safe. A batch that requests more videos than "
        "may be queued at a time gets 400.",
        parameters=[_attribute(name, about) for name, about in _ATTRIBUTES.items()],
        body={"required": True, "content": _event_bodies()},
        responses={
            202: Response(
                "Stored. The body is empty, because a Knative Trigger would treat a body as a "
                "failure. `Location` is set for a single event.",
            )
        },
        errors=(Unauthorized, VideoDeleted, IdempotencyKeyReused, QueueFull),
    )


def _event_bodies() -> Json:
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/newsroom",
        "type": EventName.REQUESTED.type,
        "data": {"prompt": "a red circle moving right"},
    }
    one = ref("schemas", "RequestedEvent")
    return {
        JSON: {"schema": ref("schemas", "Requested"), "example": event["data"]},
        STRUCTURED: {"schema": one, "example": event},
        BATCH: {
            "schema": {"type": "array", "items": one, "maxItems": MAX_BATCH},
            "example": [event],
        },
    }


def _attribute(name: str, description: str) -> Json:
    # The other modes ignore these headers, so the schema allows any value.
    return {
        "name": f"ce-{name}",
        "in": "header",
        "description": f"{description} Percent-encode anything but visible ASCII; up to "
        f"{MAX_ATTRIBUTE} characters.",
        "schema": {"type": "string"},
    }


def _stream() -> Operation:
    return Operation(
        id="streamEvents",
        method="get",
        path="/v1/events",
        tag="events",
        summary="Stream events",
        description="Server-Sent Events without an end: one for each CloudEvent about the "
        "account's videos. `event` is the CloudEvent's type, and `data` has the schema `Event`. "
        "The first line is a comment with the position at which the stream starts. If the API key "
        "is revoked or expires, the stream ends with a comment that says so. "
        "After an interruption, `Last-Event-ID` resumes the stream; events that were superseded "
        "meanwhile are skipped. A client that reads nothing for 20 s is cut off with a comment. "
        "`reset` means that the streams were recreated, so that earlier events may no longer be "
        "true. A `video_id` that is unknown, or whose video was deleted, gets 404.",
        parameters=[ref("parameters", "events_of"), ref("parameters", "Last-Event-ID")],
        responses={
            200: Response(
                "The stream.",
                {"text/event-stream": ref("schemas", "StreamedEvent")},
                ("Cache-Control",),
            )
        },
        errors=(Unauthorized, VideoNotFound, TooManyStreams),
    )
