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
    """Tells how many videos wait and are made, for how long, and the accounts' parts."""

    def __init__(self, index: VideoIndex) -> None:
        """Read from `index`."""
        self._index = index

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without values, so that registering asks the index nothing."""
        yield from self._families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families, as of now."""
        load = self._index.queue_load()
        videos, oldest, shares, ahead = self._families()
        for state, counts in (("waiting", load.waiting), ("running", load.running)):
            for account, count in counts.items():
                videos.add_metric([account, state], count)
        # On this machine's clock, which decides nothing here.
        waited = 0 if load.oldest is None else time.time_ns() - load.oldest
        oldest.add_metric([], max(0, waited) / NANOSECONDS)
        for family, values in ((shares, load.shares), (ahead, load.ahead)):
            for account, value in values.items():
                family.add_metric([account], value)
        yield from (videos, oldest, shares, ahead)

    def _families(self) -> list[GaugeMetricFamily]:
        return [
            one.family()
            for one in (
                metrics.QUEUE_VIDEOS,
                metrics.QUEUE_OLDEST_SECONDS,
                metrics.QUEUE_SHARE,
                metrics.QUEUE_AHEAD_SECONDS,
            )
        ]
