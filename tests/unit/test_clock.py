"""The second in which a message was stored: exact, or unknown."""

from __future__ import annotations

import pytest

from functions.shared.timestamps import NANOSECONDS
from functions.submit import clock as module
from functions.submit.clock import COMPARISON_SECONDS, StreamClock
from tests.fakes import MemoryBus

# JetStream's clock in seconds when the local clock is at 1,000 s.
EPOCH = 1_795_000_000


class Local:
    """A local clock that the test sets."""

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
def test_a_second_is_returned_only_if_it_is_certain(
    bus: MemoryBus, local: Local, sent: float, answered: float, second: int | None
) -> None:
    """JetStream stored the message at some moment between its sending and its acknowledgement."""
    assert local.now == 1000
    assert bus.clock == EPOCH * NANOSECONDS
    assert StreamClock(bus).second(sent, answered) == second


def test_a_slow_comparison_increases_the_uncertainty(bus: MemoryBus, local: Local) -> None:
    """JetStream's time was right at some moment between the request and the response."""

    class Slow(MemoryBus):
        def now(self) -> int:
            local.now += 0.4
            return super().now()

    assert StreamClock(Slow()).second(1000.3, 1000.31) is None
    assert StreamClock(bus).second(1000.7, 1000.71) == EPOCH


def test_the_clocks_are_compared_again_after_a_while(bus: MemoryBus, local: Local) -> None:
    """During an outage, the last comparison stays in use."""
    clock = StreamClock(bus)
    assert clock.second(1000.5, 1000.5) == EPOCH
    bus.advance(100)
    assert clock.second(1000.5, 1000.5) == EPOCH
    local.now += COMPARISON_SECONDS + 0.5
    bus.unavailable = True
    assert clock.second(1000.5, 1000.5) == EPOCH
    bus.unavailable = False
    assert clock.second(local.now + 0.5, local.now + 0.5) == EPOCH + 100


def test_without_a_comparison_the_second_is_unknown(bus: MemoryBus, local: Local) -> None:
    """The local clock alone may be wrong by any amount."""
    bus.unavailable = True
    assert StreamClock(bus).second(local.now, local.now) is None
