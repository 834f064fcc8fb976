"""Kinora's own events, written and read as CloudEvents."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from cloudevents.core.v1.event import CloudEvent
from pydantic import BaseModel
from pydantic_core import to_json

from functions.shared import request_ids
from functions.shared.errors import InvalidEvent, excerpt
from functions.shared.streams.cloudevents import read_nats
from functions.shared.subjects import VideoKey
from functions.shared.video.events import DATA_OF, EventName


class Source(StrEnum):
    """The `source` of Kinora's own events: the function that published them."""

    SUBMIT = "/kinora/submit"
    DISPATCH = "/kinora/dispatch"
    GENERATE = "/kinora/generate"


@dataclass(frozen=True)
class VideoEvent:
    """An event about one video. Its `id` stays the same however often it is published."""

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
        """The event as JSON in structured mode; the SDK checks the attributes.

        It carries the id of the HTTP request that this thread or task works for.
        """
        attributes: dict[str, Any] = {
            "id": self.id,
            "source": self.source,
            "type": self.name.type,
            "subject": self.key.video_id,
            "time": datetime.now(UTC),
            "datacontenttype": "application/json",
            "account": self.key.account,
        }
        request_id = request_ids.current_request_id()
        if request_id is not None:
            attributes[request_ids.EXTENSION] = request_id
        checked = CloudEvent(attributes).get_attributes()
        # The SDK's own JSON is ASCII only: one character of a prompt takes up to twelve bytes.
        return to_json({**checked, "data": self.data}, exclude_none=True)


def read_video_event(headers: Mapping[str, str], payload: bytes) -> tuple[EventName, str, Any]:
    """Read one of Kinora's own events from a NATS message.

    Returns:
        The event's name, its id, and its data as a model of `functions.shared.video.events`.

    Raises:
        InvalidEvent: the message is not a CloudEvent, or its type is not one of Kinora's.
        pydantic.ValidationError: the data does not match the type.
    """
    event = read_nats(headers, payload)
    for name, model in DATA_OF.items():
        if event.type == name.type:
            return name, event.id, model.model_validate(event.data)
    raise InvalidEvent(f"{excerpt(event.type)!r} is not one of Kinora's event types", param="type")
