"""What the table stores of a message: few fields, of which a replay decodes no more.

The terminal events are most of a stream. Of those that look like Kinora's own, a replay reads only
what lists need; the whole is checked when the video is read. All else is read as a whole at once.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from functions.shared.api.video_object import queued_video, video_object
from functions.shared.api.video_schema import Video
from functions.shared.streams.bus import Message
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import MAX_TOKEN
from functions.shared.timestamps import parse_rfc3339
from functions.shared.video.events import STATE_OF, TERMINAL, EventName
from functions.shared.video.requests import ResolvedRequest
from functions.shared.video.usage import seconds_of_ranks
from functions.status.listing.filters import MAX_NANOSECONDS, folded
from functions.status.listing.schema import VideoRecord, telling_headers

# Of the subject of a request; that of an event has one more.
_TOKENS: Final = 4
_Text = Annotated[str, Field(min_length=1)]
# A tombstone is read as a whole: it has little more than what it tells of usage.
_ENDS: Final = {name.value: name for name in TERMINAL - {EventName.DELETED}}


class _Request(TypedDict):
    prompt: str
    metadata: dict[str, str]


class _Engine(TypedDict):
    ranks: int


class _Output(TypedDict):
    bytes: int


class _Data(TypedDict):
    created_at: str
    request: _Request
    timings: NotRequired[dict[str, float]]
    engine: NotRequired[_Engine]
    output: NotRequired[_Output]


class _Event(TypedDict):
    specversion: Literal["1.0"]
    id: _Text
    source: _Text
    type: str
    data: _Data


_EVENT: Final = TypeAdapter(_Event)


def split_subject(subject: str) -> tuple[str, str, str] | None:
    """The account, the id and the event's name (empty of a request); None of another subject."""
    # As `is_token` says of each, in a third of the time.
    tokens = subject.split(".")
    plain = subject.replace(".", "").replace("_", "").replace("-", "")
    if not (subject.isascii() and plain.isalnum() and "" not in tokens):
        return None
    if len(tokens) < _TOKENS or max(map(len, tokens)) > MAX_TOKEN or tokens[0] != "kinora":
        return None
    if tokens[1] == "videos" and len(tokens) == _TOKENS + 1:
        return tokens[2], tokens[3], tokens[4]
    if tokens[1] == "requests" and len(tokens) == _TOKENS:
        return tokens[2], tokens[3], ""
    return None


class Ended(NamedTuple):
    """What is needed of the event that ended a video; `bytes` is None if it used nothing."""

    record: VideoRecord
    gpu_seconds: float = 0.0
    bytes: int | None = None


def ended(name: str, message: Message) -> Ended | None:
    """What is needed of a terminal event; None of one that has to be read as a whole."""
    event = _ENDS.get(name)
    # Of an event in binary mode, the headers have a part.
    if event is None or telling_headers(message):
        return None
    try:
        fields = _EVENT.validate_json(message.data)
        created = parse_rfc3339(fields["data"]["created_at"])
    except ValueError:  # pydantic's are too
        return None
    if fields["type"] != event.type or created > MAX_NANOSECONDS:
        return None
    data = fields["data"]
    request = data["request"]
    prompt = folded(request["prompt"])
    record = VideoRecord(created, event, STATE_OF[event], request["metadata"], prompt)
    if event is not EventName.COMPLETED:
        return Ended(record)
    if "output" not in data or "timings" not in data:
        return None
    ranks = data["engine"]["ranks"] if "engine" in data else 1
    return Ended(
        record, round(seconds_of_ranks(data["timings"], ranks), 3), data["output"]["bytes"]
    )


def request_record(
    video_id: str, created: int, request: ResolvedRequest | None, *, max_age_days: int
) -> tuple[VideoRecord, Video]:
    """What a list needs of a request, and the video; None is a request that is not valid."""
    video = queued_video(video_id, created, request, max_age_days=max_age_days)
    return _record(created, EventName.REQUESTED, video), video


def event_record(
    snapshot: Snapshot, *, max_age_days: int
) -> tuple[VideoRecord, Video | None] | None:
    """What a list needs of an event, and the video, of which nothing is left once it was deleted.

    Returns:
        None if the event does not change the video's state.
    """
    if snapshot.queued or snapshot.name is None:
        return None
    created = parse_rfc3339(snapshot.created_at) if snapshot.created_at else snapshot.time
    if snapshot.deleted:
        return VideoRecord(created, snapshot.name), None
    video = video_object(snapshot, max_age_days=max_age_days)
    return _record(created, snapshot.name, video), video


def _record(created: int, event: EventName, video: Video) -> VideoRecord:
    status = str(video["status"])
    return VideoRecord(created, event, status, video["metadata"], folded(video["prompt"]))
