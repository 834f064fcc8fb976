"""Validates requests: HTTP bodies, and events however they were published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from functions.shared.errors import InvalidEvent, InvalidRequest, excerpt
from functions.shared.streams.bus import Message
from functions.shared.streams.cloudevents import ReceivedEvent, read_nats
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import format_rfc3339
from functions.shared.unknown_names import describe_unknown
from functions.shared.video.events import EventName, Requested
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import RemixRequest, ResolvedRequest, VideoRequest
from functions.shared.video.text_only import refuse_media

M = TypeVar("M", bound=BaseModel)

# Of the whole stored event: a prompt and metadata at their limits take about a third of it.
MAX_EVENT_BYTES: Final = 64 << 10

# Messages that fit any field, by pydantic's error types.
_MESSAGES: Final = {
    "string_unicode": "is not valid Unicode text",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "dict_type": 'must be an object with text in it, such as {"team": "a"}',
}


@dataclass(frozen=True)
class StoredRequest:
    """A request in the stream REQUESTS: valid, and with every default resolved.

    Attributes:
        key: which video.
        seq: the message's sequence in REQUESTS.
        created_at: JetStream's timestamp of the message, as RFC 3339.
        event_id: the CloudEvent's id.
        request: the request with its defaults.
        request_hash: what `submit` computed of what the caller sent; None if another program
            published the request.
    """

    key: VideoKey
    seq: int
    created_at: str
    event_id: str
    request: ResolvedRequest
    request_hash: str | None


def read_request(message: Message, profile: Profile) -> StoredRequest:
    """Decode and validate a message of the stream REQUESTS, whoever published it.

    Raises:
        InvalidRequest: the request is invalid; `param` names the field, and the message the remedy.
    """
    return read_request_event(message, profile)[0]


def read_request_event(message: Message, profile: Profile) -> tuple[StoredRequest, ReceivedEvent]:
    """As `read_request`, together with the CloudEvent that the request was read from.

    Raises:
        InvalidRequest: as `read_request`.
    """
    key = VideoKey.from_subject(message.subject)
    if len(message.data) > MAX_EVENT_BYTES:
        raise InvalidRequest(
            f"The event has {len(message.data)} bytes; at most {MAX_EVENT_BYTES} are accepted",
            code="request_too_large",
        )
    event = read_nats(message.headers, message.data)
    requested = check_requested(event.type, event.data)
    stored = StoredRequest(
        key,
        message.seq,
        format_rfc3339(message.time),
        event.id,
        ResolvedRequest.resolve(requested, profile, key.account, key.video_id),
        requested.request_hash,
    )
    return stored, event


def check_requested(event_type: str, data: object) -> Requested:
    """Validate the type and the data of a `requested` event.

    Raises:
        InvalidEvent: the event has another type, or no object as data.
        InvalidRequest: its data is invalid.
    """
    expected = EventName.REQUESTED.type
    if event_type != expected:
        raise InvalidEvent(
            f"type is {excerpt(event_type)!r}; requests have the type {expected!r}", param="type"
        )
    if not isinstance(data, dict):
        raise InvalidEvent("data must be a JSON object with a 'prompt'", param="data")
    return _validate(Requested, data, strict=True)


def check_body(fields: Mapping[str, Any]) -> VideoRequest:
    """Validate the fields of an HTTP body; text is converted to the field's type.

    Raises:
        InvalidRequest: a field is missing, unknown or invalid.
    """
    return _validate(VideoRequest, fields, strict=False)


def check_remix(fields: Mapping[str, Any]) -> RemixRequest:
    """Validate the fields of a remix's body, as `check_body` does.

    Raises:
        InvalidRequest: a field is missing, unknown or invalid.
    """
    return _validate(RemixRequest, fields, strict=False)


def _validate(model: type[M], fields: Mapping[str, Any], *, strict: bool) -> M:
    refuse_media(fields)
    for name, value in fields.items():
        # Otherwise pydantic accepts true as the number 1.
        if isinstance(value, bool):
            shown = excerpt(name)
            raise InvalidRequest(f"{shown} can't be true or false", param=shown)
    unknown = [name for name in fields if name not in model.model_fields]
    # Only the first error is reported: pydantic would describe each of many unknown fields.
    dropped = set(unknown[1:])
    try:
        return model.model_validate(
            {name: value for name, value in fields.items() if name not in dropped}, strict=strict
        )
    except ValidationError as error:
        raise _explain(error.errors(include_url=False)[0], model) from None


def _explain(problem: Mapping[str, Any], model: type[BaseModel]) -> InvalidRequest:
    """Convert one of pydantic's errors to a message that names the field and the remedy."""
    # If a field's name is not valid text, pydantic reports no location.
    name = excerpt(str((*problem["loc"], "a field's name")[0]))
    field, code = _field_label(problem["loc"], name), None
    match problem["type"]:
        case "missing":
            text, code = "is required: say what the video should show", "missing_required_parameter"
        case "greater_than_equal" | "less_than_equal" if name in ("n", "num_outputs_per_prompt"):
            text = "must be 1: a request makes one video. Send one request for each video"
        case "extra_forbidden":
            text, code = describe_unknown(name, model.model_fields), "unknown_parameter"
        case "string_too_long":
            limit = problem["ctx"]["max_length"]
            text = f"has {len(problem['input'])} characters; at most {limit} are accepted"
        case "too_long":
            text = f"has more than {problem['ctx']['max_length']} entries"
        case "string_pattern_mismatch" if name == "remixed_from_video_id":
            text = "must be the id of a video: 1 to 64 letters, digits, '_' or '-'"
        case "string_pattern_mismatch":
            text = f"is {excerpt(str(problem['input']))!r}; write it like '848x480'"
        case kind if kind in _MESSAGES:
            text = _MESSAGES[kind]
        case _ if name == "seconds":
            text = "must be a number, such as '4'"
        case _:
            message = problem["msg"].removeprefix("Value error, ")
            return InvalidRequest(f"{field}: {message[:1].lower()}{message[1:]}", param=name)
    return InvalidRequest(f"{field} {text}", param=name, code=code)


def _field_label(location: tuple[str | int, ...], name: str) -> str:
    """The field's name in messages; within `metadata`, the pair, and its key or its value."""
    if name != "metadata" or len(location) == 1:
        return name
    pair = f"metadata[{excerpt(str(location[1]))}]"
    return f"the name of {pair}" if location[-1] == "[key]" else pair
