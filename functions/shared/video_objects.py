"""The objects of videos in the bucket, and the record that lies among them.

A record is the event `completed` of a video, stored beside its files before the event is published.
A stream that has lost the event gets it again from there.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from pydantic import ValidationError

from functions.shared.errors import InvalidEvent, NotFound, TooLarge
from functions.shared.storage import Store, StoredObject
from functions.shared.streams.cloudevents import STRUCTURED
from functions.shared.streams.video_events import Source, VideoEvent, read_video_event
from functions.shared.subjects import VideoKey, is_token
from functions.shared.video.events import Completed, EventName

log = logging.getLogger(__name__)

VIDEO_FILE: Final = "video.mp4"
THUMBNAIL_FILE: Final = "thumbnail.jpg"
SPRITESHEET_FILE: Final = "spritesheet.jpg"
RECORD_FILE: Final = "completed.json"
# Of a video that is being made.
PREVIEW_FILE: Final = "preview.jpg"
# More than any message that NATS accepts by default.
MAX_RECORD_BYTES: Final = 1 << 20

_KEY: Final = re.compile(r"([^/]+)/([^/]+)/(?:([0-9]{1,9})-[0-9a-f]+/)?.*")


def attempt_prefix(key: VideoKey, attempt: int, lease_id: str) -> str:
    """What the keys of an attempt's objects begin with, and no other attempt's."""
    return f"{key.object_prefix}{attempt}-{lease_id}/"


def video_of(object_key: str) -> VideoKey | None:
    """The video that an object belongs to; None if it is another program's."""
    match = _KEY.fullmatch(object_key)
    if match is None or not is_token(match[1]) or not is_token(match[2]):
        return None
    return VideoKey(match[1], match[2])


def attempt_of(object_key: str) -> int | None:
    """The attempt that stored an object; None if the key has none."""
    match = _KEY.fullmatch(object_key)
    return None if match is None or match[3] is None else int(match[3])


def by_video(objects: Iterable[StoredObject]) -> dict[VideoKey, list[StoredObject]]:
    """The objects of each video, without those of other programs."""
    found: dict[VideoKey, list[StoredObject]] = defaultdict(list)
    for item in objects:
        key = video_of(item.key)
        if key is not None:
            found[key].append(item)
    return found


def find_record(
    store: Store, key: VideoKey, objects: Iterable[StoredObject], *, from_attempt: int = 0
) -> VideoEvent | None:
    """The record of the latest attempt that has all of its files among `objects`.

    Attempts before `from_attempt`, that of the video's newest event, do not count: the sweeper may
    be removing their files.

    Its id is that of the event that was published, or was about to be, so whoever received that one
    recognises the repetition.

    Raises:
        Unavailable: the store does not answer.
    """
    sizes = {item.key: item.size for item in objects}
    attempts = {name: attempt_of(name) for name in sizes if name.endswith(f"/{RECORD_FILE}")}
    records = [(n, name) for name, n in attempts.items() if n is not None and n >= from_attempt]
    for _, name in sorted(records, reverse=True):
        try:
            event = _read(store, key, name)
            _check_files(event, name.removesuffix(RECORD_FILE), sizes)
        except (InvalidEvent, ValidationError, NotFound, TooLarge) as problem:
            log.warning("%s can't be used: %s", name, str(problem).splitlines()[0])
        else:
            return event
    return None


def _read(store: Store, key: VideoKey, name: str) -> VideoEvent:
    payload = store.read(name, max_bytes=MAX_RECORD_BYTES)
    event, event_id, data = read_video_event({"content-type": STRUCTURED}, payload)
    if event is not EventName.COMPLETED:
        raise InvalidEvent(f"it holds the event {event}", param="type")
    return VideoEvent(key, event, data, Source.GENERATE, event_id)


def _check_files(event: VideoEvent, prefix: str, sizes: dict[str, int]) -> None:
    data = event.data
    if not isinstance(data, Completed) or data.output.prefix != prefix:
        raise InvalidEvent("it names files elsewhere", param="prefix")
    if sizes.get(prefix + VIDEO_FILE) != data.output.bytes:
        raise InvalidEvent(f"{VIDEO_FILE} is missing, or is another file", param="bytes")
    if not {prefix + THUMBNAIL_FILE, prefix + SPRITESHEET_FILE} <= sizes.keys():
        raise InvalidEvent("a picture is missing", param="prefix")
