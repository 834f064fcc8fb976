"""What the functions' metrics say of NATS."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from functions.dispatch.stream_samples import StreamSamples
from functions.shared.errors import (
    KinoraError,
    OutcomeUnknown,
    QueueFull,
    SequenceConflict,
    TooLarge,
)
from functions.shared.streams.nats_connection import NatsConnection
from functions.shared.streams.stream_metrics import StreamMetrics
from functions.shared.subjects import VideoKey
from functions.shared.video.profiles import load_profile
from functions.status.index import VideoIndex
from functions.status.index_metrics import IndexMetrics
from functions.status.lost_messages import LostMessages
from functions.status.replay import Replay
from tests.fakes import MemoryBus
from tests.unit.events import put_request
from tests.unit.turns import put_turn, write_state


@pytest.fixture
def registry() -> CollectorRegistry:
    """An empty registry."""
    return CollectorRegistry()


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "stored"),
        (SequenceConflict(), "conflict"),
        (QueueFull(), "full"),
        (OutcomeUnknown(), "unknown"),
        (TooLarge(), "refused"),
        (KinoraError(), "refused"),
    ],
)
def test_a_publish_is_observed_with_its_outcome(
    registry: CollectorRegistry, error: KinoraError | None, outcome: str
) -> None:
    """Whatever is raised, the caller gets."""

    def publish() -> None:
        if error is not None:
            raise error

    observed = StreamMetrics(registry, "submit")
    caught = None
    try:
        with observed.publishing("REQUESTS"):
            publish()
    except KinoraError as problem:
        caught = problem
    assert caught is error
    labels = {"stream": "REQUESTS", "outcome": outcome}
    assert registry.get_sample_value("kinora_publish_seconds_count", labels) == 1


def test_a_connection_that_is_not_there_is_told(registry: CollectorRegistry) -> None:
    """It is also opened by the first call only."""
    StreamMetrics(registry, "status").watch(NatsConnection("nats://127.0.0.1:9"))
    connected = registry.get_sample_value("kinora_nats_connected", {"function": "status"})
    assert connected == 0
    assert registry.get_sample_value("kinora_nats_reconnects_total") == 0


def test_the_queue_is_sampled(bus: MemoryBus, registry: CollectorRegistry) -> None:
    """Messages, bytes, and what the consumer has before it; nothing is asked by a scrape."""
    samples = StreamSamples(bus)
    registry.register(samples)
    for name in ("a", "b"):
        put_request(bus, VideoKey("acme", name))
    put_turn(bus, VideoKey("acme", "a"))
    write_state(bus, unsettled=[(1, 2)])
    assert registry.get_sample_value("kinora_stream_messages", {"stream": "REQUESTS"}) is None
    samples.sample()
    put_request(bus, VideoKey("acme", "later"))
    requests = {"stream": "REQUESTS"}
    assert registry.get_sample_value("kinora_stream_messages", requests) == 2
    assert (registry.get_sample_value("kinora_stream_bytes", requests) or 0) > 0
    for state in ("waiting", "in_flight"):
        labels = {"consumer": "generate", "state": state}
        assert registry.get_sample_value("kinora_consumer_pending", labels) == 1
    lag = registry.get_sample_value("kinora_consumer_lag_messages", {"consumer": "generate"})
    assert lag == 2


def test_old_samples_are_not_told_as_new(bus: MemoryBus, registry: CollectorRegistry) -> None:
    """While NATS does not answer there are none, and nothing is raised."""
    samples = StreamSamples(bus)
    registry.register(samples)
    samples.sample()
    bus.unavailable = True
    samples.sample()
    assert not any(family.samples for family in registry.collect())


def test_the_index_tells_its_size_and_its_lag(bus: MemoryBus, registry: CollectorRegistry) -> None:
    """The streams' ends are asked once in a while, however often is scraped."""
    index = VideoIndex(load_profile("demo"), max_age_days=30)
    put_request(bus, VideoKey("acme", "a"))
    replay = Replay(bus, index, LostMessages(bus, index, max_age_days=30))
    replay.start()
    registry.register(IndexMetrics(index, replay))
    asked = 0
    stream_end = bus.stream_end

    def count(stream: str) -> object:
        nonlocal asked
        asked += 1
        return stream_end(stream)

    bus.stream_end = count  # type: ignore[method-assign, assignment]  # counts the questions
    for _ in range(5):
        assert registry.get_sample_value("kinora_index_videos") == 1
        lag = registry.get_sample_value("kinora_index_lag_messages", {"stream": "REQUESTS"})
        assert lag == 0
    assert asked == 2
    assert registry.get_sample_value("kinora_index_replays_total") == 1
    assert registry.get_sample_value("kinora_index_replay_seconds") is not None


def test_without_nats_the_lag_is_not_told(bus: MemoryBus, registry: CollectorRegistry) -> None:
    """The rest is."""
    index = VideoIndex(load_profile("demo"), max_age_days=30)
    replay = Replay(bus, index, LostMessages(bus, index, max_age_days=30))
    replay.start()
    registry.register(IndexMetrics(index, replay))
    bus.unavailable = True
    labels = {"stream": "VIDEOS"}
    assert registry.get_sample_value("kinora_index_lag_messages", labels) is None
    assert registry.get_sample_value("kinora_index_videos") == 0
