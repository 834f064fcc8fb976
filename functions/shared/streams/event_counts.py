"""Counts the events that a process has stored."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry

from functions.shared import metrics
from functions.shared.errors import (
    AttemptFailed,
    DeadlineExceeded,
    EngineCrashed,
    KinoraError,
    NotFinite,
    OutOfMemory,
)
from functions.shared.streams.video_events import VideoEvent
from functions.shared.video.events import (
    QUEUED_TOO_LONG,
    STATE_LOST,
    WORKER_LOST,
    EventName,
    Failed,
)

# Of failures that no request brings about. A count that began with the first failure would hide it:
# Prometheus sees an increase only from one value to the next.
FAILURE_CODES: Final = (
    AttemptFailed.code,
    DeadlineExceeded.code,
    EngineCrashed.code,
    NotFinite.code,
    OutOfMemory.code,
    KinoraError.code,
    QUEUED_TOO_LONG,
    STATE_LOST,
    WORKER_LOST,
)


class EventCounts:
    """Counts events by name, and failures by code. Safe to use from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Let `registry` collect the counts."""
        self._events = metrics.VIDEO_EVENTS.on(registry)
        for code in FAILURE_CODES:
            self._events.labels(EventName.FAILED, code)
        for name in (EventName.STARTED, EventName.COMPLETED):
            self._events.labels(name, "")

    def count(self, event: VideoEvent) -> None:
        """Count an event that was stored."""
        code = event.data.error.code if isinstance(event.data, Failed) else ""
        self._events.labels(event.name, code).inc()
