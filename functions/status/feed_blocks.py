"""The blocks of an event stream: an id, a type and data in JSON, each on one line."""

from __future__ import annotations

import json
from typing import Final

from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Message
from functions.shared.streams.cloudevents import read_nats
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.video.events import EventName

# The types of events that each stream is believed in. Anyone with NATS credentials may publish
# requests, and must not tell there what has become of a video.
BELIEVED: Final = {
    REQUESTS: frozenset({EventName.REQUESTED.type}),
    VIDEOS: frozenset(name.type for name in EventName if name is not EventName.REQUESTED),
}


def event_block(stream: str, message: Message, event_id: str) -> str | None:
    """The CloudEvent of a message, in structured mode.

    None for a message that is not valid, which `dispatch` fails, and for an event of another type
    than those of `BELIEVED`.
    """
    try:
        event = read_nats(message.headers, message.data)
        key = VideoKey.from_subject(message.subject)
        if event.type not in BELIEVED[stream]:
            return None
        # The subject decides these two, whatever the publisher wrote.
        names = {"subject": key.video_id, "account": key.account}
        # ASCII on one line. Python reads NaN and Infinity, which no other client's JSON has.
        data = json.dumps({**event.attributes, **names, "data": event.data}, allow_nan=False)
    except (InvalidRequest, ValueError, RecursionError):
        return None
    return f"id: {event_id}\nevent: {event.type}\ndata: {data}\n\n"


def reset_block(event_id: str) -> str:
    """Tells the client that the streams were recreated, so that earlier events no longer hold."""
    return f"id: {event_id}\nevent: reset\ndata: {{}}\n\n"
