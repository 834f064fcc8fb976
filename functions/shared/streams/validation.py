"""From what a caller sent to a request that can be run: one path for every entrance."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from functions.shared.errors import InvalidEvent, InvalidRequest
from functions.shared.streams.bus import Message
from functions.shared.streams.cloudevents import read_nats
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import format_rfc3339
from functions.shared.video.events import EventName, Requested
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import RemixRequest, ResolvedRequest, VideoRequest

M = TypeVar("M", bound=BaseModel)

# The whole stored event: a prompt and metadata at their limits take about a third of it.
MAX_EVENT_BYTES: Final = 64 << 10
# How much of somebody's bad input is said back to them.
_ECHO: Final = 80

# What says enough for any field, by pydantic's types of errors.
_WORDS: Final = {
    "string_unicode": "is not valid Unicode text",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "dict_type": 'must be an object with text in it, such as {"team": "a"}',
}

# Fields of the OpenAI API that Mochi has nothing to do with; ignoring them would be a silent lie.
_UNSUPPORTED: Final = {"input_reference": "Kinora makes videos from text only"}


@dataclass(frozen=True)
class StoredRequest:
    """A request as it lies in the stream: valid, with every default filled in."""

    key: VideoKey
    seq: int
    created_at: str
    event_id: str
    request: ResolvedRequest
    request_hash: str | None


def read_request(message: Message, profile: Profile) -> StoredRequest:
    """Read a message of the stream REQUESTS, whoever published it.

    Raises:
        InvalidRequest: the message can't become a video; `param` names the field and the message
            the remedy.
    """
    key = VideoKey.from_subject(message.subject)
    if len(message.data) > MAX_EVENT_BYTES:
        raise InvalidRequest(
            f"The event has {len(message.data)} bytes; at most {MAX_EVENT_BYTES} are taken",
            code="request_too_large",
        )
    event = read_nats(message.headers, message.data)
    requested = check_requested(event.type, event.data)
    return StoredRequest(
        key,
        message.seq,
        format_rfc3339(message.time),
        event.id,
        ResolvedRequest.resolve(requested, profile, key.account, key.video_id),
        requested.request_hash,
    )


def check_requested(event_type: str, data: object) -> Requested:
    """Check the type and the data of an event that asks for a video.

    Raises:
        InvalidEvent: it asks for something else.
        InvalidRequest: its data is not valid.
    """
    expected = EventName.REQUESTED.type
    if event_type != expected:
        raise InvalidEvent(
            f"type is {event_type[:_ECHO]!r}; requests have the type {expected!r}", param="type"
        )
    if not isinstance(data, dict):
        raise InvalidEvent("data must be a JSON object with a 'prompt'", param="data")
    return _validate(Requested, data, strict=True)


def check_body(fields: Mapping[str, Any]) -> VideoRequest:
    """Check the fields of an HTTP body; text is read as the type that the field has.

    Raises:
        InvalidRequest: a field is missing, unknown, or has a wrong value.
    """
    for name, reason in _UNSUPPORTED.items():
        if name in fields:
            raise InvalidRequest(
                f"{name} is not supported: {reason}", param=name, code="unsupported_parameter"
            )
    return _validate(VideoRequest, fields, strict=False)


def check_remix(fields: Mapping[str, Any]) -> RemixRequest:
    """Check the fields of the body of a remix, as `check_body` does.

    Raises:
        InvalidRequest: a field is missing, unknown, or has a wrong value.
    """
    return _validate(RemixRequest, fields, strict=False)


def request_hash(request: VideoRequest) -> str:
    """A digest of what was asked, before defaults: equal for equal requests in any encoding."""
    asked = request.model_dump(exclude_none=True, exclude={"request_hash"})
    canonical = json.dumps(asked, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _validate(model: type[M], fields: Mapping[str, Any], *, strict: bool) -> M:
    for name, value in fields.items():
        # Without this, true would count as the number 1.
        if isinstance(value, bool):
            raise InvalidRequest(f"{name[:_ECHO]} can't be true or false", param=name[:_ECHO])
    try:
        return model.model_validate(dict(fields), strict=strict)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False)[0], model) from None


def _explain(problem: Mapping[str, Any], model: type[BaseModel]) -> InvalidRequest:
    """One of pydantic's errors, in words that name the field and the remedy."""
    # A field whose name is no valid text has no place that could be named.
    name = str((*problem["loc"], "a field's name")[0])[:_ECHO]
    place, code = _place(problem["loc"], name), None
    match problem["type"]:
        case "missing":
            text, code = "is required: say what the video should show", "missing_required_parameter"
        case "extra_forbidden":
            close = difflib.get_close_matches(name, model.model_fields, n=1)
            text = "is not known" + (f"; did you mean '{close[0]}'?" if close else "")
            code = "unknown_parameter"
        case "string_too_long":
            limit = problem["ctx"]["max_length"]
            text = f"has {len(problem['input'])} characters; at most {limit} are taken"
        case "too_long":
            text = f"has more than {problem['ctx']['max_length']} entries"
        case "string_pattern_mismatch" if name == "remixed_from_video_id":
            text = "must be the id of a video: 1 to 64 letters, digits, '_' or '-'"
        case "string_pattern_mismatch":
            text = f"is {str(problem['input'])[:_ECHO]!r}; write it like '848x480'"
        case kind if kind in _WORDS:
            text = _WORDS[kind]
        case _ if name == "seconds":
            text = "must be a number, such as '4'"
        case _:
            message = problem["msg"].removeprefix("Value error, ")
            return InvalidRequest(f"{place}: {message[:1].lower()}{message[1:]}", param=name)
    return InvalidRequest(f"{place} {text}", param=name, code=code)


def _place(location: tuple[str | int, ...], name: str) -> str:
    """The field; of a pair of `metadata`, which of the two, as pydantic says it."""
    if name != "metadata" or len(location) == 1:
        return name
    pair = f"metadata[{str(location[1])[:_ECHO]}]"
    return f"the name of {pair}" if location[-1] == "[key]" else pair
