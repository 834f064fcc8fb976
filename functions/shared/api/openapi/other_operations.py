"""Events in and out, what the model can make, and what operators look at."""

from __future__ import annotations

from typing import Final

from functions.shared.api.openapi.operation import Answer, Json, Operation, ref
from functions.shared.api.parameters import EVENT_ID
from functions.shared.errors import IdempotencyKeyReused, QueueFull, Unauthorized, VideoDeleted
from functions.shared.streams.cloudevents import BATCH, MAX_ATTRIBUTE, MAX_BATCH, STRUCTURED
from functions.shared.video.events import EventName

JSON: Final = "application/json"
# OpenAPI 3.1 has no word for what the pieces of a stream are. As OpenAPI 3.2 would, this describes
# one of them.
STREAM: Final[Json] = {
    "type": "object",
    "description": "One event of the stream.",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": f"^{EVENT_ID}$"},
        "event": {"enum": [*(name.type for name in EventName), "reset"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"anyOf": [ref("schemas", "Event"), {"maxProperties": 0}]},
        },
    },
}
_ATTRIBUTES: Final = {
    "specversion": "`1.0`; with it, the body is the data of an event in binary mode.",
    "id": "With source, it names the event: sent again, it makes no second video.",
    "source": "Who asks: a URI-reference.",
    "type": f"`{EventName.REQUESTED.type}`.",
    "subject": "Becomes the video's id; if absent, the id is derived from account, source and id.",
    "time": "RFC 3339. Not used.",
}


def other_operations() -> list[Operation]:
    """All but those on videos."""
    return [_receive_events(), _events(), _models(), *_of_operators()]


def _receive_events() -> Operation:
    return Operation(
        id="submitEvent",
        method="post",
        path="/",
        tag="events",
        summary="Publish CloudEvents that ask for videos",
        description="In binary mode (`ce-` headers, and the data as the body), structured mode or "
        "batch mode. A batch is taken whole or not at all; after a 5xx, part of it may be stored, "
        "and sending it again is safe. One that asks for more videos than may wait at a time gets "
        "400.",
        parameters=[_attribute(name, about) for name, about in _ATTRIBUTES.items()],
        body={"required": True, "content": _event_bodies()},
        answers={
            202: Answer(
                "Stored. There is no body, because a Knative Trigger would take one for a "
                "failure. `Location` is there for a single event.",
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
    # In the other modes these headers are passed over, so none of them is wrong by itself.
    return {
        "name": f"ce-{name}",
        "in": "header",
        "description": f"{description} Percent-encoded where it is not visible ASCII; up to "
        f"{MAX_ATTRIBUTE} characters.",
        "schema": {"type": "string"},
    }


def _events() -> Operation:
    return Operation(
        id="streamEvents",
        method="get",
        path="/v1/events",
        tag="events",
        summary="Watch what happens",
        description="Server-Sent Events that do not end: one for each CloudEvent about the "
        "account's videos. `event` is its type and `data` the schema `Event`. After an "
        "interruption, `Last-Event-ID` goes on where it was; what was superseded meanwhile is not "
        "told again. `reset` says that the streams were begun anew.",
        parameters=[ref("parameters", "events_of"), ref("parameters", "Last-Event-ID")],
        answers={
            200: Answer(
                "The stream.",
                {"text/event-stream": STREAM},
                ("Cache-Control",),
            )
        },
        errors=(Unauthorized,),
    )


def _models() -> Operation:
    return Operation(
        id="listModels",
        method="get",
        path="/v1/models",
        tag="models",
        summary="See what can be made",
        description="The limits and defaults of the deployed model.",
        answers={200: Answer("One model.", {JSON: ref("schemas", "ModelList")})},
        errors=(Unauthorized,),
    )


def _of_operators() -> list[Operation]:
    ready = {"type": "object", "required": ["status"], "properties": {"status": {}, "reason": {}}}
    inside = "Of each function, and not behind the gateway."
    return [
        _public(
            "getOpenApiDocument", "/openapi.json", "This document", "For the deployed model.", JSON
        ),
        _public("getHealth", "/healthz", "Is the process alive?", inside, JSON),
        _public("getReadiness", "/readyz", "Can it serve requests?", inside, JSON, ready),
        _public("getMetrics", "/metrics", "Metrics for Prometheus", inside, "text/plain"),
    ]


def _public(
    name: str, path: str, summary: str, description: str, media: str, unready: Json | None = None
) -> Operation:
    schema: Json = {"type": "object"} if media == JSON else {"type": "string"}
    answers = {200: Answer("Yes." if summary.endswith("?") else "Here it is.", {media: schema})}
    if unready is not None:
        answers[503] = Answer("No; `reason` says why.", {media: unready})
    return Operation(
        id=name,
        method="get",
        path=path,
        tag="operations",
        summary=summary,
        description=description,
        answers=answers,
        public=True,
    )
