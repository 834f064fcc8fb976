"""The index and its replays, as metrics, when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from functions.shared import metrics
from functions.shared.errors import Unavailable
from functions.status.index import VideoIndex
from functions.status.replay import Replay

# How long one answer of NATS serves all scrapes, and every read before them.
END_BELIEVED_SECONDS: Final = 10.0


class IndexMetrics(Collector):
    """Tells how large the index is, and how far behind the streams."""

    def __init__(self, index: VideoIndex, replay: Replay) -> None:
        """Read from `index`, which `replay` keeps in step."""
        self._index = index
        self._replay = replay

    def collect(self) -> Iterator[Metric]:
        """The families, as of now."""
        videos = metrics.INDEX_VIDEOS.family()
        videos.add_metric([], self._index.size())
        replays = metrics.INDEX_REPLAYS.family()
        replays.add_metric([], self._replay.count)
        seconds = metrics.INDEX_REPLAY_SECONDS.family()
        if self._replay.seconds is not None:
            seconds.add_metric([], self._replay.seconds)
        lag = metrics.INDEX_LAG.family()
        with suppress(Unavailable):
            for stream, behind in self._replay.behind(within=END_BELIEVED_SECONDS).items():
                lag.add_metric([stream], behind)
        yield from (videos, replays, seconds, lag)
