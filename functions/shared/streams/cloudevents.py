"""Reading and writing CloudEvents 1.0, whoever published them.

The SDK (2.2) has no NATS binding, so this follows the NATS Protocol Binding for CloudEvents 1.0.2.
The SDK is also too lenient (it invents a missing `id` and turns broken JSON into a string), so
incoming events are checked here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

from dateutil.parser import isoparse

from functions.shared import strict_json
from functions.shared.errors import InvalidEvent

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
# A larger batch would hold a worker thread for seconds.
MAX_BATCH: Final = 100
# In characters, percent-encoded. Attributes travel as HTTP headers, which servers limit to a few
# kilobytes.
MAX_ATTRIBUTE: Final = 1024
# Characters that a header carries as they are: visible ASCII without the quote and percent signs.
_PRINTABLE: Final = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')
_REQUIRED: Final = ("specversion", "id", "source", "type")


@dataclass(frozen=True)
class ReceivedEvent:
    """A CloudEvent from any publisher: its attributes are checked, its data is not."""

    attributes: Mapping[str, str]
    data: Any

    @property
    def id(self) -> str:
        """The event's id."""
        return self.attributes["id"]

    @property
    def type(self) -> str:
        """The event's type."""
        return self.attributes["type"]


def read_nats(headers: Mapping[str, str], payload: bytes) -> ReceivedEvent:
    """Read an event from a NATS message, in binary or structured mode.

    Raises:
        InvalidEvent: the message is not a CloudEvent; `param` names the attribute at fault.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    content_type = lower.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == BATCH:
        raise InvalidEvent(
            "A NATS message holds one event; publish each event of a batch separately"
        )
    if content_type != STRUCTURED and "ce-specversion" in lower:
        return read_binary(lower, payload)
    # eventing-natss writes structured events without a content type.
    try:
        return read_structured(strict_json.parse(payload))
    except strict_json.NotJson as problem:
        raise InvalidEvent(f"The message {problem}", param=problem.name or "data") from None


def read_binary(headers: Mapping[str, str], body: bytes) -> ReceivedEvent:
    """Read binary mode: attributes in `ce-` headers (names in lower case), data in the body.

    Raises:
        InvalidEvent: an attribute is missing or invalid, or the body is not JSON.
    """
    try:
        return ReceivedEvent(read_binary_attributes(headers), strict_json.parse(body))
    except strict_json.NotJson as problem:
        raise InvalidEvent(f"The body {problem}", param=problem.name or "data") from None


def read_binary_attributes(headers: Mapping[str, str]) -> dict[str, str]:
    """Read the attributes of an event in binary mode, without its data.

    Raises:
        InvalidEvent: an attribute is missing or invalid.
    """
    # Both bindings percent-encode what a header can't carry (HTTP binding, section 3.1.3.2).
    return _checked({n[3:]: unquote(v) for n, v in headers.items() if n.startswith("ce-")})


def write_binary(event: ReceivedEvent, **extensions: str) -> tuple[dict[str, str], bytes]:
    """The headers and the body of `event` in binary mode, for `read_binary`.

    Only the required attributes and `extensions` are written: the others may hold anything.
    """
    attributes = {name: event.attributes[name] for name in _REQUIRED} | extensions
    headers = {f"ce-{name}": quote(value, safe=_PRINTABLE) for name, value in attributes.items()}
    return headers | {"content-type": "application/json"}, json.dumps(
        event.data, ensure_ascii=False
    ).encode()


def read_structured(document: object) -> ReceivedEvent:
    """Read structured mode: attributes and data in one JSON object, already parsed.

    Raises:
        InvalidEvent: `document` is not such an object.
    """
    if not isinstance(document, dict):
        raise InvalidEvent("A CloudEvent in structured mode must be a JSON object")
    if "data_base64" in document:
        raise InvalidEvent("Send the data as JSON in 'data', not as 'data_base64'", param="data")
    attributes = {name: value for name, value in document.items() if name != "data"}
    return ReceivedEvent(_checked(attributes), document.get("data"))


def _checked(attributes: dict[str, Any]) -> dict[str, str]:
    """Check the attributes as CloudEvents 1.0.2, section 3, defines them."""
    for name in _REQUIRED:
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
    time = attributes.get("time")
    if time is not None:
        try:
            isoparse(time)
        except (ValueError, TypeError, OverflowError):
            raise InvalidEvent("time must be an RFC 3339 time, or absent", param="time") from None
    subject = attributes.get("subject")
    if subject is not None:
        if not isinstance(subject, str):
            raise InvalidEvent("subject must be a string, or absent", param="subject")
        _check_length("subject", subject)
    if not isinstance(attributes.get("datacontenttype"), str | None):
        raise InvalidEvent("datacontenttype must be text, or absent", param="datacontenttype")
    return attributes


def _check_length(name: str, value: str) -> None:
    try:
        size = len(quote(value, safe=_PRINTABLE))
    except UnicodeEncodeError:
        raise InvalidEvent(f"{name} is not valid Unicode text", param=name) from None
    if size > MAX_ATTRIBUTE:
        raise InvalidEvent(
            f"{name} is too long: percent-encoded, it has {size} characters of at most "
            f"{MAX_ATTRIBUTE}",
            param=name,
        )
