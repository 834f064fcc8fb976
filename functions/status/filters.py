"""What a caller may narrow the list of videos down by, read from the query string."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Final

from werkzeug.datastructures import MultiDict

from functions.shared.api.parameters import single_value
from functions.shared.errors import InvalidRequest
from functions.shared.timestamps import NANOSECONDS, parse_rfc3339
from functions.shared.video.events import State

STATES: Final = tuple(state.value for state in State)
# A video has no more pairs than these.
MAX_PAIRS: Final = 16
# What is larger is no time in nanoseconds that a database holds; 1e11 s are the year 5138.
LATEST: Final = (1 << 63) - 1

_PAIR: Final = re.compile(r"metadata\[([^\]]+)\]")
_SECONDS: Final = re.compile(r"([0-9]{1,11})(?:\.([0-9]{1,9}))?")


@dataclass(frozen=True)
class Filters:
    """Conditions that a video must all fulfil.

    Attributes:
        statuses: as the HTTP API shows them; empty for any.
        created_from: JetStream's nanoseconds, included.
        created_until: JetStream's nanoseconds, not included.
        metadata: pairs that the video has, perhaps among others.
        text: a part of the prompt, as `folded` writes it; empty for any.
    """

    statuses: tuple[str, ...] = ()
    created_from: int = 0
    created_until: int = LATEST
    metadata: dict[str, str] = field(default_factory=dict)
    text: str = ""


ALL: Final = Filters()


def folded(text: str) -> str:
    """The form in which texts are compared: without case, and however accents were typed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def read_filters(query: MultiDict[str, str]) -> Filters:
    """The filters of a query string.

    Unknown parameters are passed over, because existing clients send some.

    Raises:
        InvalidRequest: a value can't be used; `param` names it, and the message the remedy.
    """
    return Filters(
        statuses=_statuses(query.getlist("status")),
        created_from=_time("created_after", query, 0),
        created_until=_time("created_before", query, LATEST),
        metadata=_pairs(query),
        text=folded(single_value(query, "q") or ""),
    )


def _statuses(values: list[str]) -> tuple[str, ...]:
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    for name in names:
        if name not in STATES:
            raise InvalidRequest(
                f"status is {name[:80]!r}; it must be one or more of {', '.join(STATES)}",
                param="status",
            )
    # All of them are as good as none.
    return () if set(names) == set(STATES) else tuple(sorted(set(names)))


def _time(name: str, query: MultiDict[str, str], default: int) -> int:
    text = (single_value(query, name) or "").strip()
    if not text:
        return default
    seconds = _SECONDS.fullmatch(text)
    if seconds is not None:
        fraction = int((seconds[2] or "0").ljust(9, "0"))
        return min(int(seconds[1]) * NANOSECONDS + fraction, LATEST)
    try:
        # A plus sign that was not percent-encoded arrives as a space.
        return max(0, min(parse_rfc3339(text.upper().replace(" ", "+")), LATEST))
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"{name} is {text[:80]!r}; it must be a time in seconds since 1970, such as "
            "1795000000, or like 2026-11-18T10:40:00Z",
            param=name,
        ) from None


def _pairs(query: MultiDict[str, str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for name in query:
        if name != "metadata" and not name.startswith("metadata["):
            continue
        match = _PAIR.fullmatch(name)
        if match is None:
            raise InvalidRequest(
                f"{name[:80]} can't be used; write metadata[name]=value", param="metadata"
            )
        pairs[match[1]] = single_value(query, name) or ""
    if len(pairs) > MAX_PAIRS:
        raise InvalidRequest(
            f"{len(pairs)} pairs of metadata were sent; a video has at most {MAX_PAIRS}",
            param="metadata",
        )
    return pairs
