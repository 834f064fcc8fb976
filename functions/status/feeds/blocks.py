"""The text of an event stream: blocks with an id, a type and data in JSON, and comments."""

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
KEEP_ALIVE: Final = b": keep-alive\n\n"
CUT_OFF: Final = b": cut off: this client was not reading; resume with Last-Event-ID\n\n"
REVOKED: Final = b": cut off: this API key no longer works\n\n"
# In the middle of a block. Without the empty line at its end, clients drop what they have of it
# (HTML standard, section 9.2.6).
CUT_OFF_INSIDE: Final = b"\n" + CUT_OFF[:-1]
REVOKED_INSIDE: Final = b"\n" + REVOKED[:-1]


def event_fields(stream: str, message: Message) -> bytes:
    """The type and the CloudEvent of a message, in structured mode: the same for every client.

    Empty for a message that is not valid, which `dispatch` fails, and for an event of another type
    than those of `BELIEVED`.
    """
    try:
        event = read_nats(message.headers, message.data)
        key = VideoKey.from_subject(message.subject)
        if event.type not in BELIEVED[stream]:
            return b""
        # The subject decides these two, whatever the publisher wrote.
        names = {"subject": key.video_id, "account": key.account}
        # ASCII on one line. Python reads NaN and Infinity, which no other client's JSON has.
        data = json.dumps({**event.attributes, **names, "data": event.data}, allow_nan=False)
    except (InvalidRequest, ValueError, RecursionError):
        return b""
    return f"event: {event.type}\ndata: {data}\n\n".encode()


def event_block(event_id: str, fields: bytes) -> bytes:
    """An event with the id to resume after; `fields` as `event_fields` returns them."""
    return f"id: {event_id}\n".encode() + fields


def position_comment(event_id: str) -> bytes:
    """Where the stream starts. A comment, because many clients parse the data of every block."""
    return f": position {event_id}\n\n".encode()


def reset_block(event_id: str) -> bytes:
    """Tells the client that the streams were recreated, so that earlier events no longer hold."""
    return event_block(event_id, b"event: reset\ndata: {}\n\n")
