"""Reading and writing CloudEvents 1.0, whoever published them.

The SDK (2.2) has no NATS binding, so this follows the NATS Protocol Binding for CloudEvents 1.0.2.
The SDK is also too lenient (it invents a missing `id` and turns broken JSON into a string), so
incoming events are checked here.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

from functions.shared import strict_json
from functions.shared.errors import InvalidEvent, excerpt
from functions.shared.streams.cloudevent_attributes import PRINTABLE, REQUIRED, checked

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
# A larger batch would hold a worker thread for seconds.
MAX_BATCH: Final = 100


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
    return read_structured(parse_structured(payload, "message"))


def read_binary(headers: Mapping[str, str], body: bytes) -> ReceivedEvent:
    """Read binary mode: attributes in `ce-` headers (names in lower case), data in the body.

    Raises:
        InvalidEvent: an attribute is missing or invalid, or the body is not JSON.
    """
    attributes = read_binary_attributes(headers)
    return ReceivedEvent(attributes, _parse_data(headers.get("content-type"), body, "The body"))


def read_binary_attributes(headers: Mapping[str, str]) -> dict[str, str]:
    """Read the attributes of an event in binary mode, without its data.

    Raises:
        InvalidEvent: an attribute is missing or invalid.
    """
    # Both bindings percent-encode what a header can't carry (HTTP binding, section 3.1.3.2).
    return checked({n[3:]: unquote(v) for n, v in headers.items() if n.startswith("ce-")})


def write_binary(event: ReceivedEvent, **extensions: str) -> tuple[dict[str, str], bytes]:
    """The headers and the body of `event` in binary mode, for `read_binary`.

    Only the required attributes and `extensions` are written: the others may hold anything.
    """
    attributes = {name: event.attributes[name] for name in REQUIRED} | extensions
    headers = {f"ce-{name}": quote(value, safe=PRINTABLE) for name, value in attributes.items()}
    return headers | {"content-type": "application/json"}, json.dumps(
        event.data, ensure_ascii=False
    ).encode()


def parse_structured(payload: bytes, what: str = "body") -> object:
    """Parse the JSON of structured or batch mode, for `read_structured`; `what` is its name.

    Raises:
        InvalidEvent: it is not JSON; `param` names the attribute or the field of the data at fault.
    """
    try:
        return strict_json.parse(payload)
    except strict_json.NotJson as problem:
        path = problem.path[1:] if problem.path[:1] == ("data",) else problem.path
        param = path[0] if path else problem.name
        raise InvalidEvent(f"The {what} {problem}", param=param, code="invalid_json") from None


def read_structured(document: object) -> ReceivedEvent:
    """Read structured mode: attributes and data in one JSON object, already parsed.

    Data in base64 are bytes, which the JSON format (section 3.1) lets any producer send.

    Raises:
        InvalidEvent: `document` is not such an object.
    """
    if not isinstance(document, dict):
        raise InvalidEvent("A CloudEvent in structured mode must be a JSON object")
    given = {name: value for name, value in document.items() if value is not None}
    data, encoded = given.pop("data", None), given.pop("data_base64", None)
    attributes = checked(given)
    content_type = attributes.get("datacontenttype")
    if encoded is None:
        _check_data_is_json(content_type)
        return ReceivedEvent(attributes, data)
    if data is not None:
        raise InvalidEvent("Send either data or data_base64, not both", param="data_base64")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise InvalidEvent("data_base64 must be text in base64", param="data_base64") from None
    return ReceivedEvent(attributes, _parse_data(content_type, decoded, "data_base64"))


def is_json(content_type: str) -> bool:
    """Whether a media type, with or without parameters, is one of JSON's."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def _parse_data(content_type: str | None, data: bytes, what: str) -> object:
    _check_data_is_json(content_type)
    try:
        return strict_json.parse(data)
    except strict_json.NotJson as problem:
        param = problem.name or "data"
        raise InvalidEvent(f"{what} {problem}", param=param, code="invalid_json") from None


def _check_data_is_json(content_type: str | None) -> None:
    if content_type and not is_json(content_type):
        raise InvalidEvent(
            f"The event's data has the type {excerpt(content_type)!r}; it must be application/json",
            param="datacontenttype",
        )
