"""Headers, parameters, links and responses that several operations share."""

from __future__ import annotations

from typing import Any, Final

from functions.shared import errors, subjects
from functions.shared.api.event_schemas import TOKEN
from functions.shared.api.http import MAX_RETRY_AFTER
from functions.shared.api.openapi.operation import (
    JSON,
    SERVER_RESPONSES,
    Json,
    error_response,
    ref,
)
from functions.shared.api.openapi.schemas import schemas
from functions.shared.api.parameters import (
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    LIMIT,
    MAX_SEARCH_CHARACTERS,
    ORDER,
    USAGE_FORMAT,
    VARIANT,
    WATCHED_VIDEO,
    Parameter,
)
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import MAX_METADATA_PAIRS

TEXT: Final[Json] = {"type": "string"}
EMPTY: Final[Json] = {"type": "string", "const": ""}
TIME: Final[Json] = {
    "description": "Seconds since 1970, or RFC 3339; if empty, any time.",
    "anyOf": [
        EMPTY,
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
                "description": "The API key determines the account. A server without ACCOUNTS_FILE "
                "requires no key, and has a single account, `default`.",
            }
        },
    }


def _header(description: str, schema: Json, *, required: bool = True) -> Json:
    return {"description": description, "required": required, "schema": schema}


HEADERS: Final[Json] = {
    "x-request-id": _header(
        "Identifies this request in logs: the id that the caller sent, if it has 1 to 128 letters, "
        "digits, '.', '_' and '-'; else a new one.",
        TEXT,
    ),
    "Location": _header(
        "The path of the video.", {"type": "string", "pattern": f"^/v1/videos/{subjects.TOKEN}$"}
    ),
    "openai-poll-after-ms": _header(
        "How long to wait before polling again, in milliseconds.", {"type": "integer", "minimum": 1}
    ),
    "Retry-After": _header(
        "Seconds to wait before a retry.",
        {"type": "integer", "minimum": 1, "maximum": MAX_RETRY_AFTER},
    ),
    "WWW-Authenticate": _header("How to authenticate.", {"type": "string", "const": "Bearer"}),
    "ETag": _header("Identifies the file, which never changes; or this preview.", TEXT),
    "Accept-Ranges": _header(
        "Whether the file can be requested in ranges: a preview can't.",
        {"type": "string", "enum": ["bytes", "none"]},
    ),
    "Content-Range": _header(
        "The range and the size of the file; `*/<size>` if the range is outside the file.",
        {"type": "string", "pattern": r"^bytes ([0-9]+-[0-9]+|\*)/[0-9]+$"},
    ),
    "Content-Length": _header(
        "The size of the body in bytes.", {"type": "string", "pattern": "^[0-9]+$"}, required=False
    ),
    "Content-Disposition": _header(
        "A file name: the start of the prompt, the seed and the date.", TEXT
    ),
    "Cache-Control": _header("Who may cache the response.", TEXT),
}


def _from_definition(parameter: Parameter[Any]) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _parameter(name: str, place: str, description: str, schema: Json, **more: Any) -> Json:
    return {"name": name, "in": place, "description": description, "schema": schema, **more}


PARAMETERS: Final[Json] = {
    "video_id": _parameter(
        "video_id", "path", "The video's id.", {"type": "string", "pattern": TOKEN}, required=True
    ),
    "model": _parameter(
        "model",
        "path",
        "The model's id, as `GET /v1/models` lists it.",
        {"type": "string", "minLength": 1},
        required=True,
    ),
    "limit": _from_definition(LIMIT),
    "order": _from_definition(ORDER),
    "variant": _from_definition(VARIANT),
    "Idempotency-Key": _from_definition(IDEMPOTENCY_KEY),
    "after": _parameter(
        "after",
        "query",
        "The id of the last video of the previous page, even if it was deleted since.",
        {"type": "string"},
    ),
    "status": _parameter(
        "status",
        "query",
        "Videos in any of these states, separated by commas. Empty ones are ignored.",
        {"type": "array", "items": {"anyOf": [ref("schemas", "State"), EMPTY]}},
        style="form",
        explode=False,
    ),
    "created_after": _parameter(
        "created_after", "query", "Videos created at or after this time.", TIME
    ),
    "created_before": _parameter(
        "created_before", "query", "Videos created before this time.", TIME
    ),
    "metadata": _parameter(
        "metadata",
        "query",
        "Videos with all of these pairs: `metadata[team]=a`.",
        {"type": "object", "maxProperties": MAX_METADATA_PAIRS, "additionalProperties": TEXT},
        style="deepObject",
        explode=True,
    ),
    "q": _parameter(
        "q",
        "query",
        "Videos with this text in the prompt, ignoring case.",
        {**TEXT, "maxLength": MAX_SEARCH_CHARACTERS},
    ),
    "usage_format": _from_definition(USAGE_FORMAT),
    "events_of": _from_definition(WATCHED_VIDEO),
    "Last-Event-ID": _from_definition(LAST_EVENT_ID),
    "Range": _parameter(
        "Range",
        "header",
        "A single range of bytes. Anything else is ignored, and the whole file is returned.",
        TEXT,
        example="bytes=0-1023",
    ),
    "If-Range": _parameter(
        "If-Range", "header", "Apply `Range` only if the file has this ETag.", TEXT
    ),
    "If-Match": _parameter(
        "If-Match", "header", "ETags of the files that the caller wants; else 412.", TEXT
    ),
    "If-None-Match": _parameter(
        "If-None-Match", "header", "ETags of the copies that the caller has.", TEXT
    ),
}


def _responses() -> Json:
    kinds = [kind for kind in vars(errors).values() if _is_error(kind)]
    found = {kind.__name__: error_response([kind]) for kind in kinds}
    for status, description in SERVER_RESPONSES.items():
        found[str(status)] = {
            "description": description,
            "headers": {"x-request-id": ref("headers", "x-request-id")},
            "content": {JSON: {"schema": ref("schemas", "ErrorResponse")}},
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
    "retrieve": _link("getVideo", "Retrieve its current state."),
    "download": _link("getVideoContent", "Download its files once it is completed."),
    "cancel": _link("cancelVideo", "Cancel it."),
    "remix": _link("remixVideo", "Create it again with another prompt."),
    "delete": _link("deleteVideo", "Delete it with its files."),
}
