"""What the slots of `dispatch` do with a delivery that can't be handled now."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from functions.dispatch.dispatcher import Dispatcher
from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Delivery
from functions.shared.subjects import VideoKey
from tests.fakes import MemoryBus
from tests.harness import wait_until
from tests.unit.events import put_request


@dataclass
class CutOff:
    """Handles every delivery like one during which NATS goes away."""

    bus: MemoryBus
    came: threading.Event = field(default_factory=threading.Event)

    def handle(self, delivery: Delivery) -> None:  # noqa: ARG002 - it gets no further
        """See `Deliveries.handle`."""
        self.bus.unavailable = True
        self.came.set()
        raise Unavailable


@pytest.fixture
def cut_off(bus: MemoryBus) -> Iterator[CutOff]:
    """Running slots whose deliveries meet an outage."""
    deliveries = CutOff(bus)
    dispatcher = Dispatcher(bus, deliveries, slots=1)  # type: ignore[arg-type]  # stands in
    dispatcher.start()
    yield deliveries
    dispatcher.stop()


def test_a_request_that_met_an_outage_is_given_back_when_nats_answers(
    bus: MemoryBus, cut_off: CutOff, key: VideoKey
) -> None:
    """Left without a word it would hold its slot for as long as `ack_wait`."""
    put_request(bus, key)
    assert cut_off.came.wait(10)
    assert bus.settled == []
    bus.unavailable = False
    wait_until(
        lambda: (key.request_subject, "nak") in bus.settled, seconds=10, what="it is given back"
    )
