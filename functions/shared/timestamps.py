"""JetStream's timestamps. Ages are differences between two of them; local clocks are not used."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

NANOSECONDS: Final = 1_000_000_000
MINUTE_SECONDS: Final = 60
HOUR_SECONDS: Final = 60 * MINUTE_SECONDS
DAY_SECONDS: Final = 24 * HOUR_SECONDS

_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
# Of a minute that ends with a leap second; time since the epoch does not count it.
_LEAP_SECOND: Final = "60"


def parse_rfc3339(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time; decimals beyond the ninth are cut off.

    `datetime` resolves only microseconds, within which two videos would tie.

    Raises:
        ValueError: `text` does not have that format (RFC 3339, section 5.6).
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    date, minute, second, fraction, zone = match.groups()
    if second == _LEAP_SECOND:
        second = "59"
    whole = f"{date}T{minute}:{second}{zone.upper().replace('Z', '+00:00')}"
    seconds = int(datetime.fromisoformat(whole).timestamp())
    return seconds * NANOSECONDS + int((fraction or "0")[:9].ljust(9, "0"))


def format_rfc3339(nanoseconds: int) -> str:
    """The RFC 3339 time, in UTC and with nine decimals."""
    seconds, fraction = divmod(nanoseconds, NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
