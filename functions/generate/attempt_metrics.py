"""What the events of a worker say of its attempts, as metrics."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry

from functions.shared import metrics
from functions.shared.streams.event_counts import EventCounts
from functions.shared.streams.video_events import VideoEvent
from functions.shared.timestamps import NANOSECONDS, parse_rfc3339
from functions.shared.video.events import Completed, EventName, Started
from functions.shared.video.progress import Stage
from functions.shared.video.usage import gpu_seconds

# From here on, all attempts share a label.
_LAST_NUMBER: Final = 4


class AttemptMetrics(EventCounts):
    """Counts also what the events of a worker say of its attempts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Let `registry` collect the counts."""
        super().__init__(registry)
        self._queue_seconds = metrics.QUEUE_SECONDS.on(registry)
        self._attempts = metrics.ATTEMPTS.on(registry)
        self._stage_seconds = metrics.STAGE_SECONDS.on(registry)
        self._step_seconds = metrics.STEP_SECONDS.on(registry)
        self._frames = metrics.FRAMES.on(registry)
        self._gpu_seconds = metrics.GPU_SECONDS.on(registry)

    def count(self, event: VideoEvent) -> None:
        """See `EventCounts`."""
        super().count(event)
        if event.name is EventName.STARTED and isinstance(event.data, Started):
            self._count_start(event.data)
        elif isinstance(event.data, Completed):
            self._count_video(event.key.account, event.data)

    def _count_start(self, data: Started) -> None:
        number = min(data.attempt, _LAST_NUMBER)
        self._attempts.labels(f"{number}+" if number == _LAST_NUMBER else str(number)).inc()
        if data.attempt == 1 and data.started_at is not None:
            waited = parse_rfc3339(data.started_at) - parse_rfc3339(data.created_at)
            self._queue_seconds.observe(max(0, waited) / NANOSECONDS)

    def _count_video(self, account: str, data: Completed) -> None:
        for stage, seconds in data.timings.items():
            self._stage_seconds.labels(stage).observe(seconds)
        denoising = data.timings.get(Stage.DENOISING)
        if denoising is not None and data.request is not None:
            self._step_seconds.observe(denoising / data.request.num_inference_steps)
        self._frames.inc(data.output.frames)
        self._gpu_seconds.labels(account).inc(gpu_seconds(data))
