"""What the engine's metrics say, and how the engine keeps its record."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry

from functions.generate.engine.messages import EngineReport, ModelLoaded
from functions.generate.engine.parent.activity import ActivityRecord, EngineState, Loss
from functions.generate.engine_metrics import EngineMetrics

REPORT = EngineReport("NVIDIA H100", 2, "bfloat16", "cudnn", True, 4, "2.13.0", "channels_last")
LOADED = ModelLoaded("abc", REPORT, 40.5, 60.25, graphs_compiled=2, graphs_cached=4)


class Clock:
    """`time.monotonic`, set by the test."""

    now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.fixture
def record(clock: Clock) -> ActivityRecord:
    """The record of an engine that is created now."""
    assert clock() == 1000
    return ActivityRecord()


def _registry(record: ActivityRecord) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(EngineMetrics(record.read))
    return registry


def test_each_second_counts_for_one_state(record: ActivityRecord, clock: Clock) -> None:
    """That of the moment too, so that a long video is seen while it is made."""
    for state, seconds in (("starting", 5), ("idle", 7), ("rendering", 11), ("idle", 13)):
        record.enter(EngineState(state))
        clock.now += seconds
    registry = _registry(record)
    expected = {"starting": 5, "idle": 20, "rendering": 11, "failed": 0}
    for state, spent in expected.items():
        value = registry.get_sample_value("kinora_engine_seconds_total", {"state": state})
        assert value == spent
        now = registry.get_sample_value("kinora_engine_state", {"state": state})
        assert now == (state == "idle")


def test_a_render_that_ends_with_its_engine_leaves_no_idle_engine(record: ActivityRecord) -> None:
    """Whichever of the two threads is first."""
    record.started(LOADED)
    record.enter(EngineState.RENDERING, only_from=EngineState.IDLE)
    record.lost(Loss.HUNG)
    record.enter(EngineState.IDLE, only_from=EngineState.RENDERING)
    assert record.read().state is EngineState.STARTING


def test_restarts_are_counted_by_their_reason(record: ActivityRecord) -> None:
    """Every reason has a count from the start, so that a first increase is seen."""
    for loss in (Loss.EXITED, Loss.HUNG, Loss.EXITED):
        record.lost(loss)
    registry = _registry(record)
    expected = {**dict.fromkeys(Loss, 0), Loss.EXITED: 2, Loss.HUNG: 1}
    for reason, count in expected.items():
        value = registry.get_sample_value("kinora_engine_restarts_total", {"reason": reason})
        assert value == count


def test_a_start_tells_how_long_it_took_and_what_it_chose(record: ActivityRecord) -> None:
    """Nothing of that before there is an engine."""
    registry = _registry(record)
    seconds = "kinora_engine_start_seconds"
    assert registry.get_sample_value(seconds, {"part": "load"}) is None
    record.started(LOADED)
    assert registry.get_sample_value(seconds, {"part": "load"}) == 40.5
    assert registry.get_sample_value(seconds, {"part": "warm_up"}) == 60.25
    assert registry.get_sample_value("kinora_engine_graphs", {"source": "compiled"}) == 2
    assert registry.get_sample_value("kinora_engine_graphs", {"source": "cache"}) == 4
    info = {
        "device": "NVIDIA H100",
        "ranks": "2",
        "precision": "bfloat16",
        "attention": "cudnn",
        "decoder_format": "channels_last",
        "compiled": "true",
        "torch": "2.13.0",
        "model_revision": "abc",
    }
    assert registry.get_sample_value("kinora_engine_info", info) == 1
