"""CloudEvents 1.0, as Kinora writes and reads them.

The SDK (2.2) has no NATS binding, so this follows the NATS Protocol Binding for CloudEvents 1.0.2.
The SDK is also lenient where that hides mistakes (it invents a missing `id`, turns broken JSON into
a string), so what comes in is checked here; what goes out is checked by the SDK.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote, unquote

from cloudevents.core.v1.event import CloudEvent
from dateutil.parser import isoparse
from pydantic import BaseModel
from pydantic_core import to_json

from functions.shared import strict_json
from functions.shared.errors import InvalidEvent
from functions.shared.subjects import VideoKey
from functions.shared.video.events import DATA_OF, EventName

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
# More than this in one request would hold a worker thread for seconds.
MAX_BATCH: Final = 100
# Attributes travel as HTTP headers, of which servers take a few kilobytes.
MAX_ATTRIBUTE: Final = 1024
# What need not be percent-encoded in a header: visible ASCII but the quote and the percent sign.
_PRINTABLE: Final = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')
_REQUIRED: Final = ("specversion", "id", "source", "type")


class Source(StrEnum):
    """The `source` of Kinora's own events: the function that published them."""

    SUBMIT = "/kinora/submit"
    DISPATCH = "/kinora/dispatch"
    GENERATE = "/kinora/generate"


@dataclass(frozen=True)
class VideoEvent:
    """One event about one video. Its `id` is fixed here, before it is first sent."""

    key: VideoKey
    name: EventName
    data: BaseModel
    source: str
    id: str

    @classmethod
    def new(cls, key: VideoKey, name: EventName, data: BaseModel, *, source: str) -> VideoEvent:
        """An event with a random id."""
        return cls(key, name, data, source, str(uuid.uuid4()))

    def to_bytes(self) -> bytes:
        """The structured JSON form."""
        attributes = {
            "id": self.id,
            "source": self.source,
            "type": self.name.type,
            "subject": self.key.video_id,
            "time": datetime.now(UTC),
            "datacontenttype": "application/json",
            "account": self.key.account,
        }
        checked = CloudEvent(attributes).get_attributes()
        # The SDK's own JSON is ASCII only: one character of a prompt takes up to twelve bytes.
        return to_json({**checked, "data": self.data}, exclude_none=True)


@dataclass(frozen=True)
class Incoming:
    """A CloudEvent of anyone's: its attributes, all checked, and its data, not yet checked."""

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


def read_nats(headers: Mapping[str, str], payload: bytes) -> Incoming:
    """Read an event from a NATS message, in whichever mode it was written.

    Raises:
        InvalidEvent: it is no CloudEvent; `param` names the attribute at fault.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    content_type = lower.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == BATCH:
        raise InvalidEvent("A NATS message holds one event; publish each of the batch on its own")
    if content_type != STRUCTURED and "ce-specversion" in lower:
        return read_binary(lower, payload)
    # eventing-natss writes structured events without a content type.
    return read_structured(_json(payload))


def read_binary(headers: Mapping[str, str], body: bytes) -> Incoming:
    """Read binary mode: attributes in `ce-` headers (names in lower case), data in the body.

    Raises:
        InvalidEvent: an attribute is missing or wrong, or the body is not JSON.
    """
    # Both bindings percent-encode what may not stand in a header (HTTP binding, section 3.1.3.2).
    attributes = {n[3:]: unquote(v) for n, v in headers.items() if n.startswith("ce-")}
    try:
        return Incoming(_checked(attributes), strict_json.parse(body))
    except strict_json.NotJson as problem:
        raise InvalidEvent(f"The body {problem}", param=problem.name or "data") from None


def write_binary(event: Incoming, **extensions: str) -> tuple[dict[str, str], bytes]:
    """The headers and the body of `event` in binary mode, as `read_binary` reads them.

    Attributes that the receiver has no use for stay behind: anyone may have put anything there.
    """
    attributes = {name: event.attributes[name] for name in _REQUIRED} | extensions
    headers = {f"ce-{name}": quote(value, safe=_PRINTABLE) for name, value in attributes.items()}
    return headers | {"content-type": "application/json"}, json.dumps(
        event.data, ensure_ascii=False
    ).encode()


def read_structured(document: object) -> Incoming:
    """Read structured mode: attributes and data in one JSON object, already parsed.

    Raises:
        InvalidEvent: it is not such an object.
    """
    if not isinstance(document, dict):
        raise InvalidEvent("A CloudEvent in structured mode must be a JSON object")
    if "data_base64" in document:
        raise InvalidEvent("Send the data as JSON in 'data', not as 'data_base64'", param="data")
    attributes = {name: value for name, value in document.items() if name != "data"}
    return Incoming(_checked(attributes), document.get("data"))


def read_video_event(headers: Mapping[str, str], payload: bytes) -> tuple[EventName, str, Any]:
    """Read one of Kinora's own events: its name, its id, and its data as a model of `videos`.

    Raises:
        InvalidEvent: it is none of them.
        pydantic.ValidationError: its data has another shape.
    """
    event = read_nats(headers, payload)
    for name, model in DATA_OF.items():
        if event.type == name.type:
            return name, event.id, model.model_validate(event.data)
    raise InvalidEvent(f"{event.type[:80]!r} is no event of Kinora", param="type")


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidEvent("The message is not valid JSON in UTF-8", param="data") from None


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


def _checked(attributes: dict[str, Any]) -> dict[str, str]:
    """Check the attributes after CloudEvents 1.0.2, section 3."""
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
