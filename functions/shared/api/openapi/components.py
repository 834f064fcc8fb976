"""Headers, parameters, links and answers that several operations share."""

from __future__ import annotations

from typing import Any, Final

from functions.shared import errors
from functions.shared.api.event_schemas import TOKEN
from functions.shared.api.openapi.operation import SERVER_ANSWERS, Json, error_answer, ref
from functions.shared.api.openapi.schemas import schemas
from functions.shared.api.parameters import (
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    LIMIT,
    ORDER,
    VARIANT,
    WATCHED,
    Parameter,
)
from functions.shared.video.events import State
from functions.shared.video.profiles import Profile

TEXT: Final[Json] = {"type": "string"}
TIME: Final[Json] = {
    "description": "Seconds since 1970, or RFC 3339; without a value, any time.",
    "anyOf": [
        {"const": ""},
        {"type": "number", "minimum": 0, "exclusiveMaximum": 100_000_000_000},
        {"type": "string", "format": "date-time"},
    ],
}


def components(profile: Profile) -> Json:
    """The document's components."""
    return {
        "schemas": schemas(profile),
        "parameters": PARAMETERS,
        "headers": HEADERS,
        "responses": _responses(),
        "links": LINKS,
        "securitySchemes": {
            "api_key": {
                "type": "http",
                "scheme": "bearer",
                "description": "A key decides whose videos are meant. A server that was started "
                "without API_KEYS_FILE asks for none, and has one account, `default`.",
            }
        },
    }


def _header(description: str, schema: Json, *, required: bool = True) -> Json:
    return {"description": description, "required": required, "schema": schema}


HEADERS: Final[Json] = {
    "x-request-id": _header(
        "Names this request in logs: the caller's own if it sent one of 1 to 128 letters, digits, "
        "'.', '_' and '-'.",
        TEXT,
    ),
    "Location": _header(
        "Where the video is.", {"type": "string", "pattern": "^/v1/videos/[A-Za-z0-9_-]{1,64}$"}
    ),
    "openai-poll-after-ms": _header(
        "How long to wait before asking again.", {"type": "integer", "minimum": 1}
    ),
    "Retry-After": _header(
        "Seconds until it makes sense to try again.",
        {"type": "integer", "minimum": 1, "maximum": 120},
    ),
    "WWW-Authenticate": _header("How to say who asks.", {"const": "Bearer"}),
    "ETag": _header("Names this version of the file, which never changes.", TEXT),
    "Accept-Ranges": _header("Parts of the file can be asked for.", {"const": "bytes"}),
    "Content-Range": _header(
        "Which bytes of how many these are; `*/<size>` for a range outside the file.",
        {"type": "string", "pattern": r"^bytes ([0-9]+-[0-9]+|\*)/[0-9]+$"},
    ),
    "Content-Length": _header(
        "The number of bytes.", {"type": "string", "pattern": "^[0-9]+$"}, required=False
    ),
    "Content-Disposition": _header("The file's name.", TEXT),
    "Cache-Control": _header("Who may keep the answer.", TEXT),
}


def _described(parameter: Parameter[Any]) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _given(name: str, place: str, description: str, schema: Json, **more: Any) -> Json:
    return {"name": name, "in": place, "description": description, "schema": schema, **more}


PARAMETERS: Final[Json] = {
    "video_id": _given(
        "video_id", "path", "The video's id.", {"type": "string", "pattern": TOKEN}, required=True
    ),
    "limit": _described(LIMIT),
    "order": _described(ORDER),
    "variant": _described(VARIANT),
    "Idempotency-Key": _described(IDEMPOTENCY_KEY),
    "after": _given(
        "after",
        "query",
        "The id of the last video of the page before; it may have been deleted since.",
        {"type": "string"},
    ),
    "status": _given(
        "status",
        "query",
        "In any of these states.",
        {"type": "array", "items": {"enum": [state.value for state in State]}},
        style="form",
        explode=False,
    ),
    "created_after": _given("created_after", "query", "Created then or later.", TIME),
    "created_before": _given("created_before", "query", "Created earlier.", TIME),
    "metadata": _given(
        "metadata",
        "query",
        "With all of these pairs: `metadata[team]=a`.",
        {"type": "object", "maxProperties": 16, "additionalProperties": TEXT},
        style="deepObject",
        explode=True,
    ),
    "q": _given("q", "query", "With this text in the prompt, in any case.", TEXT),
    "events_of": _described(WATCHED),
    "Last-Event-ID": _described(LAST_EVENT_ID),
    "Range": _given(
        "Range",
        "header",
        "One range of bytes. Anything else is ignored, and the whole file is the answer.",
        TEXT,
        example="bytes=0-1023",
    ),
    "If-Range": _given("If-Range", "header", "Heed `Range` only for this ETag.", TEXT),
    "If-None-Match": _given("If-None-Match", "header", "ETags of what the caller has.", TEXT),
}


def _responses() -> Json:
    kinds = [kind for kind in vars(errors).values() if _is_error(kind)]
    found = {kind.__name__: error_answer([kind]) for kind in kinds}
    for status, description in SERVER_ANSWERS.items():
        found[str(status)] = {
            "description": description,
            "headers": {"x-request-id": ref("headers", "x-request-id")},
            "content": {"application/json": {"schema": ref("schemas", "Error")}},
        }
    return found


def _is_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, errors.KinoraError)


def _link(operation: str, description: str) -> Json:
    return {
        "operationId": operation,
        "parameters": {"video_id": "$response.body#/id"},
        "description": description,
    }


LINKS: Final[Json] = {
    "retrieve": _link("getVideo", "The video's state."),
    "download": _link("getVideoContent", "Its files, once it is completed."),
    "cancel": _link("cancelVideo", "Stop making it."),
    "remix": _link("remixVideo", "Make it once more, with another prompt."),
    "delete": _link("deleteVideo", "Remove it with its files."),
}
