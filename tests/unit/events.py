"""Builds the data of events, and publishes them, for tests."""

from __future__ import annotations

import json
from typing import Any

from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_events import VideoEvent
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.video.events import (
    Completed,
    EventName,
    Lease,
    Output,
    Progressed,
    Started,
)
from functions.shared.video.profiles import load_profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest
from tests.fakes import MemoryBus

CREATED = "2026-11-21T12:00:00.123456789Z"
LEASE = "0" * 32


def request_payload(data: object, **attributes: object) -> bytes:
    """A request as another system would publish it, in structured mode."""
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/test",
        "type": "dev.kinora.video.requested.v1",
        "data": data,
        **attributes,
    }
    return json.dumps({k: v for k, v in event.items() if v is not None}).encode()


def put_request(bus: MemoryBus, key: VideoKey, **data: object) -> int:
    """Store a request; returns its sequence."""
    return bus.inject(key.request_subject, request_payload({"prompt": "a red circle", **data}))


def resolved(key: VideoKey, **fields: Any) -> ResolvedRequest:
    """A request with the demo profile's defaults."""
    request = VideoRequest(**{"prompt": "a red circle", **fields})
    return ResolvedRequest.resolve(request, load_profile("demo"), key.account, key.video_id)


def started(key: VideoKey, *, attempt: int = 1, lease: str = LEASE, seconds: float = 20) -> Started:
    """Data of `started`."""
    return Started(
        created_at=CREATED,
        request=resolved(key),
        attempt=attempt,
        worker="w1",
        started_at=CREATED,
        lease=Lease(id=lease, seconds=seconds),
    )


def progressed(data: Started, **fields: Any) -> Progressed:
    """Data of `progressed`, after `data`."""
    return Progressed(**{**dict(data), "progress": 40, "stage": "denoising", **fields})


def completed(data: Started, *, prefix: str = "acme/video_1/1-x/", size: int = 3) -> Completed:
    """Data of `completed`, after `data`, with a file of `size` bytes."""
    output = Output(prefix=prefix, bytes=size, sha256="ab" * 32, width=96, height=64, frames=25)
    fields = {name: getattr(data, name) for name in Started.model_fields if name != "lease"}
    return Completed(**fields, output=output, timings={"denoising": 1.0}, model_revision="r")


def publish(ledger: Ledger, after: Snapshot, name: EventName, data: Any) -> Snapshot:
    """Publish an event after `after`; returns the new state as it is read."""
    ledger.publish(after, VideoEvent.new(after.key, name, data, source="/test"))
    return ledger.read(after.key)
