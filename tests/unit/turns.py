"""Turns, and what is written down about the queue, for tests."""

from __future__ import annotations

from typing import Any

from functions.dispatch.turns.source import TurnSource
from functions.shared.errors import SequenceConflict
from functions.shared.streams.bus import Delivery
from functions.shared.streams.queue_state import QueueState
from functions.shared.subjects import ALL_REQUESTS, QUEUE_SUBJECT, REQUESTS, VIDEOS, VideoKey
from tests.fakes import MemoryBus


def put_turn(bus: MemoryBus, key: VideoKey) -> int:
    """Give a video a turn; returns its sequence."""
    request = bus.get_last_message(REQUESTS, key.request_subject, leader=True)
    assert request is not None
    return bus.publish(key.turn_subject, str(request.seq).encode(), expected=0)


def take_request(bus: MemoryBus) -> Delivery:
    """Deliver the next request to `dispatch`; each has a turn."""
    for subject in bus.list_subjects(REQUESTS, ALL_REQUESTS):
        try:
            put_turn(bus, VideoKey.from_subject(subject))
        except SequenceConflict:
            continue  # it has one
    source = TurnSource(bus, is_settled=lambda *_: False, on_settled=lambda *_: None)
    delivery = source.fetch(0)
    assert delivery is not None
    return delivery


def write_state(bus: MemoryBus, **fields: Any) -> None:
    """Write the state of the queue: by default, all that was requested has ended."""
    end, events = bus.stream_end(REQUESTS), bus.stream_end(VIDEOS)
    known = {"created": end.created, "requests": end.seq, "videos_created": events.created}
    state = QueueState(**{**known, **fields})
    bus.inject(QUEUE_SUBJECT, state.model_dump_json().encode())
