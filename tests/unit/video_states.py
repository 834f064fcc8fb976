"""Videos in the states that cancelling and deleting start from."""

from __future__ import annotations

from collections.abc import Callable

from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName
from tests.fakes import MemoryBus
from tests.unit.events import completed, progressed, publish, put_request, started

PutVideo = Callable[[MemoryBus, Ledger, VideoKey], None]


def put_queued(bus: MemoryBus, _ledger: Ledger, key: VideoKey) -> None:
    """A request without events."""
    put_request(bus, key)


def put_running(bus: MemoryBus, ledger: Ledger, key: VideoKey) -> None:
    """A worker has claimed the video and reported progress."""
    put_request(bus, key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, state, EventName.PROGRESSED, progressed(started(key)))


def put_completed(bus: MemoryBus, ledger: Ledger, key: VideoKey) -> None:
    """The video is completed."""
    put_request(bus, key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, state, EventName.COMPLETED, completed(started(key)))
