"""The queue by account, as metrics; from the index, when it is asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from functions.shared import metrics
from functions.shared.timestamps import NANOSECONDS
from functions.status.index import VideoIndex


class QueueMetrics(Collector):
    """Tells how many videos wait and are made, and for how long the oldest has waited."""

    def __init__(self, index: VideoIndex) -> None:
        """Read from `index`."""
        self._index = index

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without values, so that registering asks the index nothing."""
        yield from self._families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families, as of now."""
        load = self._index.queue_load()
        videos, oldest = self._families()
        for state, counts in (("waiting", load.waiting), ("running", load.running)):
            for account, count in counts.items():
                videos.add_metric([account, state], count)
        # On this machine's clock, which decides nothing here.
        waited = 0 if load.oldest is None else time.time_ns() - load.oldest
        oldest.add_metric([], max(0, waited) / NANOSECONDS)
        yield videos
        yield oldest

    def _families(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return metrics.QUEUE_VIDEOS.family(), metrics.QUEUE_OLDEST_SECONDS.family()
