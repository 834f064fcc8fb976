"""What the slots of `dispatch` do with a delivery that can't be handled now."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Semaphore

import pytest

from functions.dispatch.dispatcher import Dispatcher
from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Delivery
from functions.shared.subjects import VideoKey
from functions.shared.write_check import WriteCheck
from tests.fakes import MemoryBus, MemoryStore
from tests.patience import scaled, wait_until
from tests.unit.events import put_request
from tests.unit.turns import put_turn


@dataclass
class OutageHandler:
    """Loses NATS during every delivery."""

    bus: MemoryBus
    called: threading.Event = field(default_factory=threading.Event)

    def handle(self, delivery: Delivery) -> None:  # noqa: ARG002 - never settled
        """See `DeliveryHandler.handle`."""
        self.bus.unavailable = True
        self.called.set()
        raise Unavailable

    def handle_failure(self, delivery: Delivery, problem: Exception) -> None:
        """See `DeliveryHandler.handle_failure`."""
        raise AssertionError(delivery) from problem


@pytest.fixture
def handler(bus: MemoryBus) -> Iterator[OutageHandler]:
    """The handler of a dispatcher that is running."""
    handler = OutageHandler(bus)
    dispatcher = Dispatcher(bus, handler, slots=1, source=bus.turn_source)
    dispatcher.start()
    yield handler
    dispatcher.stop()


def test_a_delivery_during_an_outage_is_returned_when_nats_is_back(
    bus: MemoryBus, handler: OutageHandler, key: VideoKey
) -> None:
    """Unsettled, it would hold its slot for all of `ack_wait`."""
    put_request(bus, key)
    put_turn(bus, key)
    assert handler.called.wait(scaled(10))
    assert bus.settled == []
    bus.unavailable = False
    wait_until(lambda: (key.turn_subject, "nak") in bus.settled, seconds=10, what="it is returned")


@dataclass
class AckHandler:
    """Acknowledges every delivery."""

    def handle(self, delivery: Delivery) -> None:
        """See `DeliveryHandler.handle`."""
        delivery.ack()

    def handle_failure(self, delivery: Delivery, problem: Exception) -> None:
        """See `DeliveryHandler.handle_failure`."""
        raise AssertionError(delivery) from problem


def test_nothing_is_pulled_while_the_store_refuses_writes(
    bus: MemoryBus, store: MemoryStore, key: VideoKey
) -> None:
    """Pulled requests would only wait for a worker; the pause is told, and ends by itself."""
    store.unavailable = True
    put_request(bus, key)
    put_turn(bus, key)
    write_check, asked = WriteCheck(store), Semaphore(0)

    def ready() -> None:
        asked.release()
        write_check.check()

    dispatcher = Dispatcher(bus, AckHandler(), slots=1, source=bus.turn_source, ready=ready)
    with pytest.raises(Unavailable, match=r"paused\. The object store does not"):
        dispatcher.check()
    dispatcher.start()
    try:
        for _ in range(3):
            assert asked.acquire(timeout=scaled(10))
        assert bus.settled == []
        store.unavailable = False
        wait_until(
            lambda: bus.settled == [(key.turn_subject, "ack")], seconds=10, what="it is handled"
        )
        dispatcher.check()
    finally:
        dispatcher.stop()
