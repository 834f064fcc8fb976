"""What is still to be delivered to each account's endpoints, as metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from functions.shared import metrics
from functions.shared.timestamps import NANOSECONDS

# Between two looks. Each asks NATS once for all consumers, and three times for each endpoint that
# has something before it.
SAMPLE_SECONDS: Final = 30.0
# An older reading is no longer exported.
BELIEVED_SECONDS: Final = 3 * SAMPLE_SECONDS


@dataclass(frozen=True)
class Backlog:
    """The events that endpoints of one account have not been told of.

    Attributes:
        pending: their number.
        oldest: JetStream's timestamp of the first one, in nanoseconds; None without one.
    """

    pending: int
    oldest: int | None

    def __add__(self, other: Backlog) -> Backlog:
        """Both together."""
        times = [one.oldest for one in (self, other) if one.oldest is not None]
        return Backlog(self.pending + other.pending, min(times, default=None))


class WebhookBacklog(Collector):
    """Tells what was last read; nothing is asked when the metrics are collected."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._accounts: Mapping[str, Backlog] = {}
        self._read_at = 0.0

    def put(self, accounts: Mapping[str, Backlog]) -> None:
        """The backlog of each account that has an endpoint, as of now."""
        self._accounts, self._read_at = accounts, time.monotonic()

    def collect(self) -> Iterator[Metric]:
        """The families, as last read."""
        pending, oldest = metrics.WEBHOOK_PENDING.family(), metrics.WEBHOOK_OLDEST_SECONDS.family()
        if time.monotonic() - self._read_at < BELIEVED_SECONDS:
            for account, backlog in self._accounts.items():
                pending.add_metric([account], backlog.pending)
                # On this machine's clock, which decides nothing here.
                age = 0 if backlog.oldest is None else time.time_ns() - backlog.oldest
                oldest.add_metric([account], max(0, age) / NANOSECONDS)
        yield from (pending, oldest)
