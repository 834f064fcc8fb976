"""What callers send beside bodies: each parameter is read, and described, by its one definition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import BeforeValidator, Field, StringConstraints, TypeAdapter, ValidationError

from functions.shared.errors import InvalidRequest
from functions.shared.subjects import TOKEN

T = TypeVar("T")


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """A parameter of the query or a header.

    Attributes:
        name: as it is sent.
        place: where it is sent.
        type: what its text is read as: a type, or an annotated one, of pydantic's.
        must: what a value must be, in words that follow "it must be".
        description: what it means.
        default: what it is when it is not sent.
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

    def read(self, text: str | None) -> T:
        """The value of what was sent; None stands for nothing.

        Raises:
            InvalidRequest: it has another form.
        """
        if text is None:
            return self.default
        try:
            return self._adapter.validate_python(text)
        except ValidationError:
            raise InvalidRequest(
                f"{self.name} is {text[:80]!r}; it must be {self.must}", param=self.name
            ) from None

    @property
    def schema(self) -> dict[str, Any]:
        """Its JSON Schema, with its default."""
        schema = self._adapter.json_schema()
        return schema if self.default is None else {**schema, "default": self.default}


def _digits(text: str) -> str:
    # int() takes more: signs, spaces, underscores, and digits of every script.
    if re.fullmatch(r"[0-9]{1,9}", text) is None:
        raise ValueError
    return text


# As in the OpenAI API.
MAX_LIMIT: Final = 100
LIMIT: Final = Parameter[int](
    "limit",
    "query",
    Annotated[int, BeforeValidator(_digits), Field(ge=1, le=MAX_LIMIT)],
    f"a whole number from 1 to {MAX_LIMIT}",
    "How many videos a page holds at most.",
    20,
)
ORDER: Final = Parameter[Literal["asc", "desc"]](
    "order",
    "query",
    Literal["asc", "desc"],
    "'asc' or 'desc'",
    "By the time of creation; `desc` is newest first.",
    "desc",
)
VARIANT: Final = Parameter[Literal["video", "thumbnail", "spritesheet"]](
    "variant",
    "query",
    Literal["video", "thumbnail", "spritesheet"],
    "one of video, thumbnail, spritesheet",
    "Which of the video's files.",
    "video",
)
WATCHED: Final = Parameter[str | None](
    "video_id",
    "query",
    Annotated[str, StringConstraints(pattern=f"^{TOKEN}$")],
    "the id of one of your videos",
    "Tell of this video only.",
    None,
)
# How far both streams were seen: a sequence of REQUESTS, and one of VIDEOS.
EVENT_ID: Final = r"([0-9]{1,19})-([0-9]{1,19})"
LAST_EVENT_ID: Final = Parameter[str | None](
    "Last-Event-ID",
    "header",
    Annotated[str, StringConstraints(pattern=f"^{EVENT_ID}$")],
    "the id of an event of this feed, or absent",
    "Go on after this event.",
    None,
)
IDEMPOTENCY_KEY: Final = Parameter[str | None](
    "Idempotency-Key",
    "header",
    Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")],
    "1 to 255 visible ASCII characters",
    "Makes the request safe to repeat: the same key makes one video, and answers with it.",
    None,
)
