"""One operation of the API as data, and how OpenAPI writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from functions.shared.errors import InvalidRequest, KinoraError, TooLarge, Unavailable

Json = dict[str, Any]

# What every route may answer: a request that can't be read, or is too long in one of its parts,
# and a failure of Kinora's own.
EVERYWHERE: Final = (InvalidRequest, TooLarge, KinoraError, Unavailable)
# What the HTTP server answers before the function is asked; see `gunicorn_worker`.
SERVER_ANSWERS: Final = {
    414: "The path with its query is too long: at most about 8,000 characters.",
    431: "A header is longer than about 8,000 characters, or there are more than 100.",
}


def ref(kind: str, name: str) -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


@dataclass(frozen=True)
class Answer:
    """A good answer: its content as `media type -> schema`, and the names of its headers."""

    description: str
    content: Mapping[str, Json] = field(default_factory=dict)
    headers: Sequence[str] = ()
    links: Sequence[str] = ()
    example: Any = None

    def rendered(self) -> Json:
        """As OpenAPI writes it."""
        media = {}
        for name, schema in self.content.items():
            media[name] = {"schema": schema} if schema else {}
            if self.example is not None:
                media[name]["example"] = self.example
        answer: Json = {
            "description": self.description,
            "headers": {name: ref("headers", name) for name in ("x-request-id", *self.headers)},
        }
        if media:
            answer["content"] = media
        if self.links:
            answer["links"] = {name: ref("links", name) for name in self.links}
        return answer


@dataclass(frozen=True)
class Operation:
    """A method of a path.

    Attributes:
        id: the `operationId`, which is also the name of the route's endpoint in Flask.
        errors: what it may raise, beside what every route may.
        parameters: references to components, or whole parameters.
        public: whether it needs no API key.
    """

    id: str
    method: str
    path: str
    tag: str
    summary: str
    description: str
    answers: Mapping[int, Answer]
    errors: Sequence[type[KinoraError]] = ()
    parameters: Sequence[Json] = ()
    body: Json | None = None
    public: bool = False

    def rendered(self) -> Json:
        """As OpenAPI writes it."""
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
        answers = {str(status): answer.rendered() for status, answer in self.answers.items()}
        operation["responses"] = answers | self._refusals()
        if self.public:
            operation["security"] = []
        return operation

    def _refusals(self) -> Json:
        raised: set[type[KinoraError]] = {*EVERYWHERE, *self.errors}
        kinds = sorted(raised, key=lambda kind: (kind.status, kind.code))
        refusals: Json = {str(status): ref("responses", str(status)) for status in SERVER_ANSWERS}
        for status, group in groupby(kinds, key=lambda kind: kind.status):
            several = list(group)
            refusals[str(status)] = (
                ref("responses", several[0].__name__)
                if len(several) == 1
                else error_answer(several)
            )
        return dict(sorted(refusals.items()))


def error_answer(kinds: Sequence[type[KinoraError]]) -> Json:
    """An answer that is one of `kinds` of error, which have one status."""
    headers = ["x-request-id"]
    if any(kind.default_retry_after is not None for kind in kinds):
        headers.append("Retry-After")
    for kind in kinds:
        headers += kind.headers
    examples = {kind.code: {"value": _example(kind)} for kind in kinds}
    return {
        "description": " ".join(dict.fromkeys(default_message(kind) for kind in kinds)),
        "headers": {name: ref("headers", name) for name in headers},
        "content": {"application/json": {"schema": ref("schemas", "Error"), "examples": examples}},
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
