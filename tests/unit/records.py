"""Puts the files of completed videos, and their records, into a bucket in memory."""

from __future__ import annotations

from functions.shared.streams.video_events import VideoEvent
from functions.shared.subjects import VideoKey
from functions.shared.video.events import Completed, EventName
from tests.fakes import MemoryStore
from tests.unit.events import completed, started


def put_video(
    store: MemoryStore, key: VideoKey, *, attempt: int = 1, record: bool = True
) -> VideoEvent:
    """Store what an attempt uploads before it publishes `completed`; returns that event."""
    prefix = f"{key.object_prefix}{attempt}-{attempt:032x}/"
    data: Completed = completed(started(key, attempt=attempt), prefix=prefix)
    event = VideoEvent.new(key, EventName.COMPLETED, data, source="/kinora/generate")
    files = {"thumbnail.jpg": b"t", "spritesheet.jpg": b"s", "video.mp4": b"mp4"}
    if record:
        files["completed.json"] = event.to_bytes()
    store.files.update({prefix + name: (content, "") for name, content in files.items()})
    return event
