"""The GPUs of a replica, as metrics, when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from functions.generate.gpus.readings import GpuReading
from functions.generate.gpus.watch import GpuReport
from functions.shared import metrics
from functions.shared.metric_kinds import GaugeMetric

_VALUES: dict[GaugeMetric, Callable[[GpuReading], float | None]] = {
    metrics.GPU_UTILIZATION: lambda reading: reading.utilization,
    metrics.GPU_MEMORY_USED: lambda reading: reading.memory_used,
    metrics.GPU_MEMORY_TOTAL: lambda reading: reading.memory_total,
    metrics.GPU_POWER: lambda reading: reading.watts,
    metrics.GPU_TEMPERATURE: lambda reading: reading.celsius,
}


class GpuMetrics(Collector):
    """Tells what `GpuWatch` has last read."""

    def __init__(self, reports: Callable[[], list[GpuReport]]) -> None:
        """Ask `reports` whenever the metrics are collected."""
        self._reports = reports

    def collect(self) -> Iterator[Metric]:
        """The families, without samples where there is no GPU."""
        reports = {(str(one.gpu.number), one.gpu.uuid): one for one in self._reports()}
        answering = metrics.GPU_ANSWERING.family()
        throttled = metrics.GPU_THROTTLED.family()
        xids = metrics.GPU_XIDS.family()
        for labels, report in reports.items():
            answering.add_metric(labels, report.reading is not None)
            for reason, on in ((report.reading and report.reading.throttled) or {}).items():
                throttled.add_metric([*labels, reason], on)
            for xid, count in report.xids.items():
                xids.add_metric([*labels, str(xid)], count)
        yield from (answering, throttled, xids)
        for metric, value_of in _VALUES.items():
            family = metric.family()
            for labels, report in reports.items():
                value = None if report.reading is None else value_of(report.reading)
                if value is not None:
                    family.add_metric(labels, value)
            yield family
