"""The slots of `dispatch`: each handles one delivery at a time; their number is the limit."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections.abc import Callable
from typing import Final, Protocol

from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Bus, Delivery, Source
from functions.shared.streams.consumers import FETCH_SECONDS

log = logging.getLogger(__name__)

# A quarter of the consumer's `ack_wait`: two of them may be lost.
IN_PROGRESS_SECONDS: Final = 15.0
# Between tries to return a delivery to the consumer. After an outage of NATS, its connection is
# back within a quarter of a second or two.
NAK_RETRY_SECONDS: Final = 0.5
# A message that waits for redelivery counts as in flight and so holds a slot: the wait is short.
MAX_REDELIVERY_DELAY: Final = 10.0


def redelivery_delay(longest: float = MAX_REDELIVERY_DELAY) -> float:
    """Seconds until a redelivery: random, so that what failed together does not return together."""
    return random.uniform(1, longest)  # noqa: S311 - jitter is no secret


class DeliveryHandler(Protocol):
    """Settles deliveries: `RequestHandler` those of requests, `Forwarder` those of events."""

    def handle(self, delivery: Delivery) -> None:
        """Process a delivery, and settle it.

        Raises:
            Unavailable: NATS does not answer.
        """

    def handle_failure(self, delivery: Delivery, problem: Exception) -> None:
        """Settle a delivery for which `handle` raised the unexpected `problem`.

        Raises:
            Unavailable: NATS does not answer.
        """


class Dispatcher:
    """Pulls messages from a consumer and passes them to a handler, several at a time."""

    def __init__(
        self,
        bus: Bus,
        handler: DeliveryHandler,
        *,
        slots: int,
        source: Callable[[], Source],
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Handle at most `slots` deliveries at once; each slot pulls from a `source` of its own.

        Nothing is pulled while `ready` raises `Unavailable`.
        """
        self._bus = bus
        self._handler = handler
        self._slots = slots
        self._source = source
        self._ready = ready
        self._stopping = threading.Event()
        self._in_flight: set[Delivery] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start pulling, on daemon threads: `stop` returns their deliveries to the consumer."""
        for number in range(self._slots):
            threading.Thread(target=self._run_slot, name=f"slot-{number}", daemon=True).start()
        threading.Thread(target=self._extend_ack_wait, name="in-progress", daemon=True).start()

    def check(self) -> None:
        """Return if deliveries are pulled.

        Raises:
            Unavailable: not now; the message says why.
        """
        try:
            self._ready()
        except Unavailable as problem:
            raise Unavailable(f"Dispatching is paused. {problem.message}") from problem

    def stop(self) -> None:
        """Stop pulling, and return every delivery in flight for another process to take.

        Videos keep running: the worker does not need the connection, and holds a lease.
        """
        self._stopping.set()
        with self._lock:
            for delivery in self._in_flight:
                with contextlib.suppress(Unavailable):
                    delivery.nak(1)
            self._in_flight.clear()

    def _run_slot(self) -> None:
        source = self._source()
        while not self._stopping.is_set():
            try:
                self._handle_next(source)
            except Unavailable:
                self._stopping.wait(0.5)
            except Exception:
                log.exception("unexpected error in a slot; the slot continues")
                self._stopping.wait(1)

    def _handle_next(self, source: Source) -> None:
        self._ready()
        delivery = source.fetch(FETCH_SECONDS)
        if delivery is None:
            return
        with self._lock:
            if self._stopping.is_set():
                delivery.nak(1)
                return
            self._in_flight.add(delivery)
        try:
            self._handle(delivery)
        except Unavailable:
            self._nak_when_connected(delivery)
        finally:
            with self._lock:
                self._in_flight.discard(delivery)

    def _handle(self, delivery: Delivery) -> None:
        try:
            self._handler.handle(delivery)
        except Unavailable:
            raise
        except Exception as problem:
            log.exception("%s could not be handled", delivery.message.subject)
            self._handler.handle_failure(delivery, problem)

    def _nak_when_connected(self, delivery: Delivery) -> None:
        """Return a delivery; unsettled, it would hold its slot for the rest of `ack_wait`."""
        while not self._stopping.wait(NAK_RETRY_SECONDS):
            with contextlib.suppress(Unavailable):
                self._bus.check()
                delivery.nak(1)
                return

    def _extend_ack_wait(self) -> None:
        while not self._stopping.wait(IN_PROGRESS_SECONDS):
            with self._lock:
                deliveries = list(self._in_flight)
            for delivery in deliveries:
                delivery.in_progress()
