"""Every metric that a function exposes at `/metrics`: docs/metrics.md is generated from `TABLE`.

Names end in their unit, as Prometheus's naming rules ask. Labels have few values: routes, codes,
stages and accounts, and never an id. A counter starts at 0 with each process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

# A sample more for each counter and histogram, which Prometheus's text format has no use for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own omission

SUBMIT, STATUS, DISPATCH, GENERATE = "submit", "status", "dispatch", "generate"
ALL: Final = (SUBMIT, STATUS, DISPATCH, GENERATE)
# From the demo's fifth of a second to the hours that a long queue makes a video wait.
_MINUTES: Final = (0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0)


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    Attributes:
        name: as Prometheus knows it.
        meaning: what it counts or measures; its help text.
        functions: which functions expose it.
        labels: the names of its labels.
    """

    name: str
    meaning: str
    functions: tuple[str, ...]
    labels: tuple[str, ...] = ()

    kind = ""


@dataclass(frozen=True)
class CounterMetric(Metric):
    """A number that only grows, until the process ends."""

    kind = "counter"

    def on(self, registry: CollectorRegistry) -> Counter:
        """The counter, collected by `registry`."""
        return Counter(self.name, self.meaning, self.labels, registry=registry)


@dataclass(frozen=True)
class GaugeMetric(Metric):
    """A number at the moment at which it is asked for."""

    kind = "gauge"

    def on(self, registry: CollectorRegistry) -> Gauge:
        """The gauge, collected by `registry`."""
        return Gauge(self.name, self.meaning, self.labels, registry=registry)


@dataclass(frozen=True)
class HistogramMetric(Metric):
    """How many values were at most as large as each of `buckets`, and their sum."""

    buckets: tuple[float, ...] = Histogram.DEFAULT_BUCKETS

    kind = "histogram"

    def on(self, registry: CollectorRegistry) -> Histogram:
        """The histogram, collected by `registry`."""
        return Histogram(
            self.name, self.meaning, self.labels, buckets=self.buckets, registry=registry
        )


HTTP_SECONDS: Final = HistogramMetric(
    "kinora_http_request_seconds",
    "Time to the first byte of the response.",
    ALL,
    ("function", "route", "method", "status"),
)
HTTP_ERRORS: Final = CounterMetric(
    "kinora_http_errors_total",
    "Requests that were refused or failed, by the code of the error.",
    ALL,
    ("function", "code"),
)
ACCOUNTS_FILE_IN_USE: Final = GaugeMetric(
    "kinora_accounts_file_in_use",
    "1 if ACCOUNTS_FILE is in use as it is now, 0 if only an older one can be.",
    (SUBMIT, STATUS, DISPATCH),
)
VIDEO_EVENTS: Final = CounterMetric(
    "kinora_video_events_total",
    "Events that this process stored, by their name; code is that of a failed video's error.",
    (SUBMIT, DISPATCH, GENERATE),
    ("event", "code"),
)
QUEUE_SECONDS: Final = HistogramMetric(
    "kinora_queue_seconds",
    "Time from a request to its first attempt.",
    (GENERATE,),
    buckets=_MINUTES,
)
ATTEMPTS: Final = CounterMetric(
    "kinora_attempts_total",
    "Attempts that were started, by their number; from 2 on, an earlier one failed or was lost.",
    (GENERATE,),
    ("number",),
)
STAGE_SECONDS: Final = HistogramMetric(
    "kinora_stage_seconds",
    "Duration of each stage of a completed video.",
    (GENERATE,),
    ("stage",),
    buckets=_MINUTES,
)
STEP_SECONDS: Final = HistogramMetric(
    "kinora_step_seconds",
    "Mean duration of a denoising step of a completed video, reused steps included.",
    (GENERATE,),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0, 30.0),
)
FRAMES: Final = CounterMetric("kinora_frames_total", "Frames of completed videos.", (GENERATE,))
GPU_SECONDS: Final = CounterMetric(
    "kinora_gpu_seconds_total",
    "Seconds of completed videos, times the engine's processes that made them; on a machine "
    "without a GPU, seconds of its CPUs.",
    (GENERATE,),
    ("account",),
)
QUEUE_VIDEOS: Final = GaugeMetric(
    "kinora_queue_videos",
    "Videos that wait, and videos that are made. Each replica tells the whole.",
    (STATUS,),
    ("account", "state"),
)
QUEUE_OLDEST_SECONDS: Final = GaugeMetric(
    "kinora_queue_oldest_seconds",
    "How long the oldest request has waited; 0 without one. Each replica tells the whole.",
    (STATUS,),
)
OPEN_FEEDS: Final = GaugeMetric(
    "kinora_open_event_streams", "Event streams that are open.", (STATUS,)
)
OPEN_DOWNLOADS: Final = GaugeMetric(
    "kinora_open_downloads",
    "Files that `status` is sending. The gateway sends videos without it.",
    (STATUS,),
)
STORE_SECONDS: Final = HistogramMetric(
    "kinora_store_seconds",
    "Time of each request to the object store to the start of its response, by S3's name of the "
    "operation.",
    ALL,
    ("operation",),
)
STORE_ERRORS: Final = CounterMetric(
    "kinora_store_errors_total",
    "Requests to the object store that failed, retries not counted, by S3's code or the error.",
    ALL,
    ("operation", "code"),
)
WEBHOOK_ATTEMPTS: Final = CounterMetric(
    "kinora_webhook_attempts_total",
    "Attempts to deliver a webhook, by how they ended.",
    (DISPATCH,),
    ("account", "outcome"),
)

TABLE: Final[tuple[Metric, ...]] = (
    HTTP_SECONDS,
    HTTP_ERRORS,
    ACCOUNTS_FILE_IN_USE,
    VIDEO_EVENTS,
    QUEUE_SECONDS,
    ATTEMPTS,
    STAGE_SECONDS,
    STEP_SECONDS,
    FRAMES,
    GPU_SECONDS,
    QUEUE_VIDEOS,
    QUEUE_OLDEST_SECONDS,
    OPEN_FEEDS,
    OPEN_DOWNLOADS,
    STORE_SECONDS,
    STORE_ERRORS,
    WEBHOOK_ATTEMPTS,
)
