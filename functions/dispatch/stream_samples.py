"""The streams and the queue, asked now and then, as metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from functions.shared import metrics
from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Bus, StreamEnd
from functions.shared.streams.consumers import GENERATE_CONSUMER
from functions.shared.streams.queue_state import QueueState, read_queue_state
from functions.shared.subjects import REQUESTS, TURNS, VIDEOS

log = logging.getLogger(__name__)

# As often as Prometheus asks by default in many installations: some requests to NATS each time.
SAMPLE_SECONDS: Final = 15.0


@dataclass(frozen=True)
class _Sample:
    streams: dict[str, StreamEnd]
    queue: QueueState
    turns: int


class StreamSamples(Collector):
    """Tells what `sample` has read; nothing is asked when the metrics are collected."""

    def __init__(self, bus: Bus) -> None:
        """Ask `bus`."""
        self._bus = bus
        self._sample: _Sample | None = None

    def sample(self) -> None:
        """Ask NATS once; if it does not answer, there is no sample until the next time."""
        try:
            streams = {name: self._bus.stream_end(name) for name in (REQUESTS, VIDEOS)}
            turns = self._bus.message_count(TURNS)
            self._sample = _Sample(streams, read_queue_state(self._bus), turns)
        except Unavailable as problem:
            log.debug("the streams are unknown for now: %s", problem.message)
            self._sample = None

    def collect(self) -> Iterator[Metric]:
        """The families, as last sampled."""
        sample = self._sample
        yield from _of_streams({} if sample is None else sample.streams)
        pending, lag = metrics.CONSUMER_PENDING.family(), metrics.CONSUMER_LAG.family()
        if sample is not None:
            end = sample.streams[REQUESTS].seq
            unsettled = sample.queue.unsettled_count + end - sample.queue.requests
            waiting = max(0, unsettled - sample.turns)
            pending.add_metric([GENERATE_CONSUMER, "waiting"], waiting)
            pending.add_metric([GENERATE_CONSUMER, "in_flight"], sample.turns)
            lag.add_metric([GENERATE_CONSUMER], max(0, end - sample.queue.settled_up_to))
        yield from (pending, lag)


def _of_streams(streams: dict[str, StreamEnd]) -> Iterator[GaugeMetricFamily]:
    messages = metrics.STREAM_MESSAGES.family()
    size, limit = metrics.STREAM_BYTES.family(), metrics.STREAM_LIMIT_BYTES.family()
    for name, end in streams.items():
        messages.add_metric([name], end.messages)
        size.add_metric([name], end.size)
        if end.max_size is not None:
            limit.add_metric([name], end.max_size)
    yield from (messages, size, limit)
