"""The filters of `GET /v1/videos`, read from the query string."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Final

from werkzeug.datastructures import MultiDict

from functions.shared.api.parameters import (
    LIST_PARAMETERS,
    MAX_SEARCH_CHARACTERS,
    refuse_unknown,
    single_value,
)
from functions.shared.errors import InvalidRequest
from functions.shared.timestamps import NANOSECONDS, parse_rfc3339
from functions.shared.video.events import State
from functions.shared.video.requests import MAX_METADATA_PAIRS, MAX_PROMPT_CHARACTERS

STATES: Final = tuple(state.value for state in State)
# SQLite's integers have 64 bits. The 11 digits of `_SECONDS` reach the year 5138.
MAX_NANOSECONDS: Final = (1 << 63) - 1

# Of a prompt that is compared: one character may become 18, and a prompt is to cost no more memory
# than a few of its own length.
MAX_FOLDED: Final = 4 * MAX_PROMPT_CHARACTERS

# A name may have brackets itself: it is all between the first `[` and the last `]`.
_PAIR: Final = re.compile(r"metadata\[(.+)\]", re.DOTALL)
_SECONDS: Final = re.compile(r"([0-9]{1,11})(?:\.([0-9]{1,9}))?")


@dataclass(frozen=True)
class Filters:
    """Conditions that a video must all meet.

    Attributes:
        statuses: the allowed statuses, as in the HTTP API; empty for any.
        created_from: JetStream's nanoseconds, inclusive.
        created_until: JetStream's nanoseconds, exclusive.
        metadata: pairs that the video must have, possibly among others.
        text: a part of the prompt, as `folded` returns it; empty for any.
    """

    statuses: tuple[str, ...] = ()
    created_from: int = 0
    created_until: int = MAX_NANOSECONDS
    metadata: dict[str, str] = field(default_factory=dict)
    text: str = ""

    def allow(self, status: str) -> bool:
        """Whether a video with this status may match."""
        return not self.statuses or status in self.statuses


NO_FILTERS: Final = Filters()


def folded(text: str) -> str:
    """`text` in the form in which texts are compared: the same for each case and each width.

    Unicode's compatibility caseless match (Core Specification, D146), composed, so that a letter
    is not found in its accented form; at most `MAX_FOLDED` characters.
    """
    once = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", text).casefold())
    return unicodedata.normalize("NFKC", once.casefold())[:MAX_FOLDED]


def read_filters(query: MultiDict[str, str]) -> Filters:
    """The filters of a query string.

    Raises:
        InvalidRequest: a parameter is not known, or a value is invalid; `param` names the
            parameter, and the message says what to send.
    """
    refuse_unknown((name for name in query if not name.startswith("metadata[")), LIST_PARAMETERS)
    return Filters(
        statuses=_read_statuses(query.getlist("status")),
        created_from=_read_time("created_after", query, 0),
        created_until=_read_time("created_before", query, MAX_NANOSECONDS),
        metadata=_read_metadata(query),
        text=folded(_read_text(query)),
    )


def _read_text(query: MultiDict[str, str]) -> str:
    text = single_value(query, "q") or ""
    if len(text) > MAX_SEARCH_CHARACTERS:
        raise InvalidRequest(
            f"q has {len(text)} characters; it must have at most {MAX_SEARCH_CHARACTERS}",
            param="q",
        )
    return text


def _read_statuses(values: list[str]) -> tuple[str, ...]:
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    for name in names:
        if name not in STATES:
            raise InvalidRequest(
                f"status is {name[:80]!r}; it must be one or more of {', '.join(STATES)}",
                param="status",
            )
    # All statuses together filter nothing.
    return () if set(names) == set(STATES) else tuple(sorted(set(names)))


def _read_time(name: str, query: MultiDict[str, str], default: int) -> int:
    text = (single_value(query, name) or "").strip()
    if not text:
        return default
    seconds = _SECONDS.fullmatch(text)
    if seconds is not None:
        fraction = int((seconds[2] or "0").ljust(9, "0"))
        return min(int(seconds[1]) * NANOSECONDS + fraction, MAX_NANOSECONDS)
    try:
        # A plus sign that was not percent-encoded arrives as a space.
        return max(0, min(parse_rfc3339(text.upper().replace(" ", "+")), MAX_NANOSECONDS))
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"{name} is {text[:80]!r}; it must be a time in seconds since 1970, such as "
            "1795000000, or like 2026-11-18T10:40:00Z",
            param=name,
        ) from None


def _read_metadata(query: MultiDict[str, str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for name in query:
        if name != "metadata" and not name.startswith("metadata["):
            continue
        match = _PAIR.fullmatch(name)
        if match is None:
            raise InvalidRequest(
                f"{name[:80]} is not a valid filter; write metadata[name]=value", param="metadata"
            )
        pairs[match[1]] = single_value(query, name) or ""
    if len(pairs) > MAX_METADATA_PAIRS:
        raise InvalidRequest(
            f"{len(pairs)} pairs of metadata were sent; a video has at most {MAX_METADATA_PAIRS}",
            param="metadata",
        )
    return pairs
