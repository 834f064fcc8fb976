"""The connection to NATS and what is published on it, as metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from functions.shared import metrics
from functions.shared.errors import KinoraError, OutcomeUnknown, QueueFull, SequenceConflict
from functions.shared.streams.nats_connection import NatsConnection

_OUTCOMES: dict[type[KinoraError], str] = {
    SequenceConflict: "conflict",
    QueueFull: "full",
    OutcomeUnknown: "unknown",
}


class StreamMetrics(Collector):
    """Observes one connection to NATS. Collecting the metrics asks NATS nothing."""

    def __init__(self, registry: CollectorRegistry, function: str) -> None:
        """Let `registry` collect what is observed in `function`."""
        self._function = function
        self._connection: NatsConnection | None = None
        self._publish_seconds = (
            metrics.PUBLISH_SECONDS.on(registry)
            if function in metrics.PUBLISH_SECONDS.functions
            else None
        )
        registry.register(self)

    def watch(self, connection: NatsConnection) -> None:
        """Tell of this connection from now on."""
        self._connection = connection

    @contextmanager
    def publishing(self, stream: str) -> Iterator[None]:
        """Observe a publish to `stream`, and how it ends."""
        begun, outcome = time.perf_counter(), "refused"
        try:
            yield
            outcome = "stored"
        except KinoraError as problem:
            outcome = _OUTCOMES.get(type(problem), outcome)
            raise
        finally:
            if self._publish_seconds is not None:
                passed = time.perf_counter() - begun
                self._publish_seconds.labels(stream, outcome).observe(passed)

    def collect(self) -> Iterator[Metric]:
        """The families, as of now."""
        connected = metrics.NATS_CONNECTED.family()
        reconnects = metrics.NATS_RECONNECTS.family()
        if self._connection is not None:
            connected.add_metric([self._function], self._connection.connected_for() > 0)
            reconnects.add_metric([], self._connection.reconnects)
        yield from (connected, reconnects)
