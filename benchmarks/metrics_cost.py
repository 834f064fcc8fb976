"""What metrics cost a request: `python -m benchmarks.metrics_cost`.

The functions run in this process, with streams in memory, so that only their own work is measured.
Each is created twice: as it is, and with metrics that do nothing (the baseline). The two take
turns in short rounds. Shown are the medians of the rounds: processor time per request, and the
ratio within a round, which says more than the times on a busy machine. A publish is observed in the
client of JetStream, which is no part of this; it costs as much as one more observation.
"""

from __future__ import annotations

import argparse
import gc
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry

from functions.shared import metric_kinds, metrics
from functions.shared.config import Settings
from functions.shared.subjects import VideoKey
from functions.status.app import create_app as create_status
from functions.submit.app import create_app as create_submit
from tests.fakes import MemoryBus, MemoryStore
from tests.unit.events import put_request

# Callers here come faster than the limits that protect a server from them.
SETTINGS = Settings(account_requests_per_second=1e9, queue_limit=10**9)
KINDS = (metric_kinds.CounterMetric, metric_kinds.GaugeMetric, metric_kinds.HistogramMetric)
Send = Callable[[], Any]


class NoMetric:
    """Takes the calls of a counter, a gauge or a histogram, and does nothing."""

    def labels(self, *_: object) -> NoMetric:
        """Itself, with any labels."""
        return self

    def inc(self, *_: object) -> None:
        """Count nothing."""

    observe = set = set_function = inc


@contextmanager
def without_metrics() -> Iterator[None]:
    """Functions that are created in this time have metrics that do nothing."""
    with ExitStack() as patches:
        for kind in KINDS:
            patches.enter_context(mock.patch.object(kind, "on", return_value=NoMetric()))
        yield


def creates() -> Send:
    """POST /v1/videos, to a new `submit`: streams in memory get slower with their size."""
    client: FlaskClient = create_submit(SETTINGS, MemoryBus(), MemoryStore()).test_client()
    return lambda: client.post("/v1/videos", json={"prompt": "a red circle"})


def reads() -> Send:
    """GET /v1/videos/v1, from the index."""
    bus = MemoryBus()
    put_request(bus, VideoKey("default", "v1"))
    client: FlaskClient = create_status(SETTINGS, bus, MemoryStore()).test_client()
    return lambda: client.get("/v1/videos/v1")


def cost(send: Send, requests: int) -> float:
    """Microseconds of processor time of one request."""
    assert send().status_code == 200
    gc.collect()
    begun = time.thread_time()
    for _ in range(requests):
        send()
    return (time.thread_time() - begun) / requests * 1e6


def observation() -> float:
    """Microseconds of one observation with four labels, as each request makes it."""
    seconds = metrics.HTTP_SECONDS.on(CollectorRegistry())
    begun, times = time.thread_time(), 20_000
    for _ in range(times):
        seconds.labels("submit", "/v1/videos", "POST", 200).observe(0.001)
    return (time.thread_time() - begun) / times * 1e6


def compare(make: Callable[[], Send], rounds: int, requests: int, *, fresh: bool) -> list[float]:
    """Medians of the cost without metrics, with them, and of their ratio."""
    found: list[tuple[float, float]] = []
    sends: dict[bool, Send] = {}
    for number in range(rounds):
        if fresh or not sends:
            for bare in (True, False):
                with without_metrics() if bare else nullcontext():
                    sends[bare] = make()
        # Whoever comes second finds warmer caches.
        order = (True, False) if number % 2 else (False, True)
        costs = {bare: cost(sends[bare], requests) for bare in order}
        found.append((costs[True], costs[False]))
    columns = [*zip(*found, strict=True), [after / before for before, after in found]]
    return [statistics.median(column) for column in columns]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--requests", type=int, default=100, help="in each round")
    given = parser.parse_args()
    # Lines of a log would cost more than what is compared.
    logging.disable(logging.CRITICAL)
    print("| Request | Without metrics, µs | With, µs | Ratio |\n|---|---|---|---|")
    for name, make, fresh in (
        ("POST /v1/videos", creates, True),
        ("GET /v1/videos/{id}", reads, False),
    ):
        without, measured, ratio = compare(make, given.rounds, given.requests, fresh=fresh)
        print(f"| `{name}` | {without:.0f} | {measured:.0f} | {ratio:.3f} |")
    print(f"\nOne observation: {observation():.1f} µs")


if __name__ == "__main__":
    main()
