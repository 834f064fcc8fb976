"""Query parameters and headers: one definition each for parsing and for OpenAPI."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from flask import Request
from pydantic import BeforeValidator, Field, StringConstraints, TypeAdapter, ValidationError
from werkzeug.datastructures import MultiDict

from functions.shared.errors import InvalidRequest, excerpt
from functions.shared.subjects import TOKEN
from functions.shared.unknown_names import describe_unknown

T = TypeVar("T")


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """A query parameter or a header.

    Attributes:
        name: its name in the request.
        place: where it is in the request.
        type: what its text is parsed as: a type that pydantic knows, or an annotated one.
        must: what a value must be: completes "it must be ..." in errors.
        description: what it means.
        default: its value if it is absent.
    """

    name: str
    place: Literal["query", "header"]
    type: Any
    must: str
    description: str
    default: T

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self.type)

    def value(self, request: Request) -> T:
        """The parameter's value in `request`.

        Raises:
            InvalidRequest: it has another form, or was sent more than once.
        """
        if self.place == "query":
            text = single_value(request.args, self.name)
        else:
            text = request.headers.get(self.name)
        if text is None:
            return self.default
        try:
            return self._adapter.validate_python(text)
        except ValidationError:
            raise InvalidRequest(
                f"{self.name} is {excerpt(text)!r}; it must be {self.must}", param=self.name
            ) from None

    @property
    def schema(self) -> dict[str, Any]:
        """Its JSON Schema, with its default."""
        schema = self._adapter.json_schema()
        return schema if self.default is None else {**schema, "default": self.default}


def single_value(query: MultiDict[str, str], name: str) -> str | None:
    """The value of a query parameter that may be sent once; None if it is absent.

    Raises:
        InvalidRequest: it was sent more than once.
    """
    values = query.getlist(name)
    if len(values) > 1:
        raise sent_twice(name)
    return values[0] if values else None


def refuse_unknown(names: Iterable[str], known: Collection[str]) -> None:
    """Check that the parameters of a query are all `known`.

    A misspelt filter that is ignored would return videos that the caller did not ask for, to a
    program that may delete them.

    Raises:
        InvalidRequest: a parameter is not known; the message names a similar one.
    """
    for name in names:
        if name not in known:
            shown = excerpt(name)
            raise InvalidRequest(
                f"{shown} {describe_unknown(shown, known)}", param=shown, code="unknown_parameter"
            )


def sent_twice(name: str) -> InvalidRequest:
    """The error for a query parameter or form field that may be sent only once."""
    return InvalidRequest(
        f"{excerpt(name)} was sent more than once; send it once", param=excerpt(name)
    )


def _digits(text: str) -> str:
    # int() also accepts signs, spaces, underscores, and digits of every script.
    if re.fullmatch(r"[0-9]{1,9}", text) is None:
        raise ValueError
    return text


# The query parameters of the list. `metadata` is sent as `metadata[name]=value`.
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
# Of `q`: longer than any phrase that people remember from a prompt.
MAX_SEARCH_CHARACTERS: Final = 500
# As in the OpenAI API.
MAX_LIMIT: Final = 100
LIMIT: Final = Parameter[int](
    "limit",
    "query",
    # The limits stand before the validator: after it, pydantic writes them as `ge` and `le`.
    Annotated[int, Field(ge=1, le=MAX_LIMIT), BeforeValidator(_digits)],
    f"a whole number from 1 to {MAX_LIMIT}",
    "The maximum number of videos on a page.",
    20,
)
ORDER: Final = Parameter[Literal["asc", "desc"]](
    "order",
    "query",
    Literal["asc", "desc"],
    "'asc' or 'desc'",
    "Sort order by creation time; `desc` is newest first.",
    "desc",
)
Variant = Literal["video", "thumbnail", "spritesheet", "preview"]
VARIANT: Final = Parameter[Variant](
    "variant",
    "query",
    Variant,
    "one of video, thumbnail, spritesheet, preview",
    "Which of the video's files to download: of a completed one the video, its thumbnail or its "
    "spritesheet; of one that is being made its newest preview.",
    "video",
)
USAGE_FORMAT: Final = Parameter[Literal["json", "csv"] | None](
    "format",
    "query",
    Literal["json", "csv"],
    "'json' or 'csv'",
    "The format of the answer, whatever `Accept` says. Without both, it is JSON.",
    None,
)
WATCHED_VIDEO: Final = Parameter[str | None](
    "video_id",
    "query",
    Annotated[str, StringConstraints(pattern=f"^{TOKEN}$")],
    "the id of one of your videos",
    "Send events about this video only.",
    None,
)
# A position in both streams: a sequence of REQUESTS, and one of VIDEOS.
EVENT_ID: Final = r"([0-9]{1,19})-([0-9]{1,19})"
LAST_EVENT_ID: Final = Parameter[str | None](
    "Last-Event-ID",
    "header",
    Annotated[str, StringConstraints(pattern=f"^({EVENT_ID})?$")],
    "the id of an event of this stream, or absent",
    "Resume after this event. Empty is the same as absent.",
    None,
)
IDEMPOTENCY_KEY: Final = Parameter[str | None](
    "Idempotency-Key",
    "header",
    Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")],
    "1 to 255 visible ASCII characters",
    "Makes the request safe to retry: the same key creates one video and returns that video.",
    None,
)
