"""What the engine does, as metrics, when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from functions.generate.engine.messages import ModelLoaded
from functions.generate.engine.parent.activity import EngineActivity
from functions.shared import metrics


class EngineMetrics(Collector):
    """Tells the engine's state, and how its latest start went."""

    def __init__(self, activity: Callable[[], EngineActivity]) -> None:
        """Ask `activity` whenever the metrics are collected."""
        self._activity = activity

    def collect(self) -> Iterator[Metric]:
        """The families, as of now."""
        activity = self._activity()
        states = metrics.ENGINE_STATE.family()
        seconds = metrics.ENGINE_SECONDS.family()
        for state, spent in activity.seconds.items():
            states.add_metric([state], state is activity.state)
            seconds.add_metric([state], spent)
        restarts = metrics.ENGINE_RESTARTS.family()
        for reason, count in activity.restarts.items():
            restarts.add_metric([reason], count)
        yield from (states, seconds, restarts)
        yield from _start(activity.started)


def _start(started: ModelLoaded | None) -> Iterator[Metric]:
    seconds = metrics.ENGINE_START_SECONDS.family()
    graphs = metrics.ENGINE_GRAPHS.family()
    info = metrics.ENGINE_INFO.family()
    if started is not None:
        seconds.add_metric(["load"], started.load_seconds)
        seconds.add_metric(["warm_up"], started.warm_up_seconds)
        report = started.report
        if report is not None:
            info.add_metric(
                [
                    report.device,
                    str(report.ranks),
                    report.precision,
                    report.attention,
                    report.decoder_format,
                    str(report.compiled).lower(),
                    report.torch,
                    started.model_revision,
                ],
                1,
            )
            if report.compiled:
                graphs.add_metric(["compiled"], started.graphs_compiled)
                graphs.add_metric(["cache"], started.graphs_cached)
    yield from (seconds, graphs, info)
