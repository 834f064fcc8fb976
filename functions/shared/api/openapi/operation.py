"""An operation of the API as data, and its form in OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from functions.shared.errors import (
    CrossOrigin,
    InvalidRequest,
    KinoraError,
    RateLimited,
    TooLarge,
    Unavailable,
    UnknownHost,
)

Json = dict[str, Any]

JSON: Final = "application/json"
# Errors that every route may return: a request that can't be parsed, is too long or comes to the
# wrong place, and failures of the server.
COMMON_ERRORS: Final = (InvalidRequest, TooLarge, UnknownHost, KinoraError, Unavailable)
# Responses of the HTTP server, before the request reaches the function; see `gunicorn_worker`.
SERVER_RESPONSES: Final = {
    414: "The path with its query is too long: the limit is about 8,000 characters.",
    431: "A header is longer than about 8,000 characters, or there are more than 200. "
    "Cookies do not count: the gateway drops them.",
}


def ref(kind: str, name: str) -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


@dataclass(frozen=True)
class Response:
    """A successful response: `content` is `media type -> schema`, `headers` are their names."""

    description: str
    content: Mapping[str, Json] = field(default_factory=dict)
    headers: Sequence[str] = ()
    links: Sequence[str] = ()
    example: Any = None

    def to_openapi(self) -> Json:
        """The Response Object."""
        media = {}
        for name, schema in self.content.items():
            media[name] = {"schema": schema} if schema else {}
            if self.example is not None:
                media[name]["example"] = self.example
        response: Json = {
            "description": self.description,
            "headers": {name: ref("headers", name) for name in ("x-request-id", *self.headers)},
        }
        if media:
            response["content"] = media
        if self.links:
            response["links"] = {name: ref("links", name) for name in self.links}
        return response


def json_response(schema: str, description: str, example: Any = None) -> Response:
    """A response whose body is the component `schema`."""
    return Response(description, {JSON: ref("schemas", schema)}, example=example)


@dataclass(frozen=True)
class Operation:
    """A method of a path.

    Attributes:
        id: the `operationId`, which is also the name of the route's endpoint in Flask.
        errors: what it may raise besides `COMMON_ERRORS`.
        parameters: references to components, or whole parameters.
        public: whether it works without an API key.
    """

    id: str
    method: str
    path: str
    tag: str
    summary: str
    description: str
    responses: Mapping[int, Response]
    errors: Sequence[type[KinoraError]] = ()
    parameters: Sequence[Json] = ()
    body: Json | None = None
    public: bool = False

    def to_openapi(self) -> Json:
        """The Operation Object."""
        operation: Json = {
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "description": self.description,
        }
        if self.parameters:
            operation["parameters"] = list(self.parameters)
        if self.body is not None:
            operation["requestBody"] = self.body
        successes = {str(status): found.to_openapi() for status, found in self.responses.items()}
        operation["responses"] = successes | self._error_responses()
        if self.public:
            operation["security"] = []
        return operation

    def _error_responses(self) -> Json:
        raised: set[type[KinoraError]] = {*COMMON_ERRORS, *self.errors}
        if self.method != "get":
            raised.add(CrossOrigin)
        if not self.public:
            raised.add(RateLimited)
        kinds = sorted(raised, key=lambda kind: (kind.status, kind.code))
        found: Json = {str(status): ref("responses", str(status)) for status in SERVER_RESPONSES}
        for status, group in groupby(kinds, key=lambda kind: kind.status):
            several = list(group)
            found[str(status)] = (
                ref("responses", several[0].__name__)
                if len(several) == 1
                else error_response(several)
            )
        return dict(sorted(found.items()))


def error_response(kinds: Sequence[type[KinoraError]]) -> Json:
    """The response for one of several kinds of error with the same status."""
    headers = ["x-request-id"]
    if any(kind.default_retry_after is not None for kind in kinds):
        headers.append("Retry-After")
    for kind in kinds:
        headers += kind.headers
    examples = {kind.code: {"value": _example(kind)} for kind in kinds}
    return {
        "description": " ".join(dict.fromkeys(default_message(kind) for kind in kinds)),
        "headers": {name: ref("headers", name) for name in headers},
        "content": {JSON: {"schema": ref("schemas", "ErrorResponse"), "examples": examples}},
    }


def default_message(kind: type[KinoraError]) -> str:
    """The first line of an error's docstring."""
    return (kind.__doc__ or "").splitlines()[0]


def _example(kind: type[KinoraError]) -> Json:
    return {
        "error": {
            "message": default_message(kind),
            "type": kind.type,
            "param": None,
            "code": kind.code,
        }
    }
