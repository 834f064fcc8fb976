"""The kinds of metrics: what a row of the table in `metrics.py` is, and how it is exposed."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

# A sample more for each counter and histogram, which Prometheus's text format has no use for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own omission


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

    def family(self) -> CounterMetricFamily:
        """The counter without samples, for a collector that knows its values when asked."""
        return CounterMetricFamily(self.name, self.meaning, labels=self.labels)


@dataclass(frozen=True)
class GaugeMetric(Metric):
    """A number at the moment at which it is asked for."""

    kind = "gauge"

    def on(self, registry: CollectorRegistry) -> Gauge:
        """The gauge, collected by `registry`."""
        return Gauge(self.name, self.meaning, self.labels, registry=registry)

    def family(self) -> GaugeMetricFamily:
        """The gauge without samples, for a collector that knows its values when asked."""
        return GaugeMetricFamily(self.name, self.meaning, labels=self.labels)


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
