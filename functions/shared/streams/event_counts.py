"""Counts the events that a process has stored."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from functions.shared import metrics
from functions.shared.streams.video_events import VideoEvent
from functions.shared.video.events import Failed


class EventCounts:
    """Counts events by name, and failures by code. Safe to use from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Let `registry` collect the counts."""
        self._events = metrics.VIDEO_EVENTS.on(registry)

    def count(self, event: VideoEvent) -> None:
        """Count an event that was stored."""
        code = event.data.error.code if isinstance(event.data, Failed) else ""
        self._events.labels(event.name, code).inc()
