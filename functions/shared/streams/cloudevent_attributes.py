"""The attributes of a CloudEvent, whoever published it: which it must have, and their form."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from functions.shared.errors import InvalidEvent, excerpt
from functions.shared.timestamps import parse_rfc3339

# In characters, percent-encoded. Attributes travel as HTTP headers, which servers limit to a few
# kilobytes.
MAX_ATTRIBUTE: Final = 1024
# Characters that a header carries as they are: visible ASCII without the quote and percent signs.
PRINTABLE: Final = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')
REQUIRED: Final = ("specversion", "id", "source", "type")


def checked(attributes: dict[str, Any]) -> dict[str, str]:
    """Check attributes that are present as CloudEvents 1.0.2, sections 2 and 3, defines them.

    Raises:
        InvalidEvent: one is missing or invalid; `param` names it.
    """
    _check_required(attributes)
    _check_optional(attributes)
    for name, value in attributes.items():
        # bool is an int, too.
        if not isinstance(value, str | int):
            raise InvalidEvent(
                f"{excerpt(name)} must be text, a whole number, true or false: an attribute has no "
                "other types",
                param=excerpt(name),
            )
    return attributes


def _check_required(attributes: dict[str, Any]) -> None:
    for name in REQUIRED:
        value = attributes.get(name)
        if value is None:
            raise InvalidEvent(f"The CloudEvent needs the attribute {name!r}", param=name)
        if not isinstance(value, str) or not value:
            raise InvalidEvent(f"{name} must be a string that is not empty", param=name)
        _check_length(name, value)
    if attributes["specversion"] != "1.0":
        raise InvalidEvent(
            f"specversion is {attributes['specversion'][:20]!r}; Kinora reads '1.0'",
            param="specversion",
        )


def _check_optional(attributes: dict[str, Any]) -> None:
    try:
        parse_rfc3339(attributes.get("time", "1970-01-01T00:00:00Z"))
    except (ValueError, TypeError, OverflowError):
        raise InvalidEvent(
            "time must be an RFC 3339 time, such as 2026-01-31T12:00:00Z, or absent", param="time"
        ) from None
    subject = attributes.get("subject", "")
    if not isinstance(subject, str):
        raise InvalidEvent("subject must be a string, or absent", param="subject")
    _check_length("subject", subject)
    if not isinstance(attributes.get("datacontenttype", ""), str):
        raise InvalidEvent("datacontenttype must be text, or absent", param="datacontenttype")


def _check_length(name: str, value: str) -> None:
    try:
        size = len(quote(value, safe=PRINTABLE))
    except UnicodeEncodeError:
        raise InvalidEvent(f"{name} is not valid Unicode text", param=name) from None
    if size > MAX_ATTRIBUTE:
        raise InvalidEvent(
            f"{name} is too long: percent-encoded, it has {size} characters of at most "
            f"{MAX_ATTRIBUTE}",
            param=name,
        )
