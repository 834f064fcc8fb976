"""Telling the second of a stored message: exactly, or not at all."""

from __future__ import annotations

import pytest

from functions.shared.timestamps import NANOSECONDS
from functions.submit import clock as module
from functions.submit.clock import COMPARED_SECONDS, StreamClock
from tests.fakes import MemoryBus

# JetStream's clock when the local one shows 1,000 s; it starts at a whole second.
EPOCH = 1_795_000_000


class Local:
    """The local clock, which a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        """See `time.monotonic`."""
        return self.now


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Local:
    """At 1,000 s."""
    return Local(monkeypatch)


@pytest.mark.parametrize(
    ("sent", "answered", "second"),
    [
        (1000.5, 1000.51, EPOCH),
        (1000.03, 1000.97, EPOCH),
        (1001.5, 1001.6, EPOCH + 1),
        (1000.99, 1001.01, None),
        (1000.97, 1000.99, None),
        (1001.01, 1001.03, None),
        (1000.5, 1002.5, None),
    ],
)
def test_a_second_is_told_only_if_it_can_be_no_other(
    bus: MemoryBus, local: Local, sent: float, answered: float, second: int | None
) -> None:
    """The message was stored between its sending and its answer, by a clock of the cluster."""
    assert local.now == 1000
    assert bus.clock == EPOCH * NANOSECONDS
    assert StreamClock(bus).second(sent, answered) == second


def test_a_slow_comparison_makes_it_less_sure(bus: MemoryBus, local: Local) -> None:
    """JetStream's answer was right at some moment between the question and its arrival."""

    class Slow(MemoryBus):
        def now(self) -> int:
            local.now += 0.4
            return super().now()

    assert StreamClock(Slow()).second(1000.3, 1000.31) is None
    assert StreamClock(bus).second(1000.7, 1000.71) == EPOCH


def test_the_clocks_are_compared_now_and_then(bus: MemoryBus, local: Local) -> None:
    """Often enough for their drift, and through an outage with what was known before."""
    clock = StreamClock(bus)
    assert clock.second(1000.5, 1000.5) == EPOCH
    bus.advance(100)
    assert clock.second(1000.5, 1000.5) == EPOCH
    local.now += COMPARED_SECONDS + 0.5
    bus.unavailable = True
    assert clock.second(1000.5, 1000.5) == EPOCH
    bus.unavailable = False
    assert clock.second(local.now + 0.5, local.now + 0.5) == EPOCH + 100


def test_without_an_answer_nothing_is_told(bus: MemoryBus, local: Local) -> None:
    """A local clock may be wrong by any amount."""
    bus.unavailable = True
    assert StreamClock(bus).second(local.now, local.now) is None
