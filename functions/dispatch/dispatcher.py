"""The slots of `dispatch`: each keeps at most one request open, and together they are the limit."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Bus, Delivery, RequestSource

log = logging.getLogger(__name__)

# A fetch that was under way when the connection broke is lost, so none waits for long.
FETCH_SECONDS: Final = 2.0
# A quarter of the consumer's `ack_wait`: two of them may get lost.
IN_PROGRESS_SECONDS: Final = 15.0
# After an outage of NATS its connection is back within a quarter of a second or two.
GIVE_BACK_SECONDS: Final = 0.5


class Handler(Protocol):
    """Settles what is delivered: `Deliveries` for requests, `Forwarder` for events."""

    def handle(self, delivery: Delivery) -> None:
        """Do what is to be done with a delivery, and settle it.

        Raises:
            Unavailable: NATS does not answer.
        """

    def stumble(self, delivery: Delivery, problem: Exception) -> None:
        """Settle a delivery that could not be handled because of `problem`."""


class Dispatcher:
    """Moves messages from a consumer to a sink, several at a time."""

    def __init__(
        self,
        bus: Bus,
        deliveries: Handler,
        *,
        slots: int,
        source: Callable[[], RequestSource] | None = None,
    ) -> None:
        """Handle at most `slots` deliveries at once.

        Each slot has a `source` of its own; without one, requests are what is delivered.
        """
        self._bus = bus
        self._deliveries = deliveries
        self._slots = slots
        self._source = source or bus.request_source
        self._stopping = threading.Event()
        self._open: set[Delivery] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to pull. The threads are daemons: `stop` says what happens to their requests."""
        for number in range(self._slots):
            threading.Thread(target=self._slot, name=f"slot-{number}", daemon=True).start()
        threading.Thread(target=self._keep_open, name="in-progress", daemon=True).start()

    def stop(self) -> None:
        """Pull no more, and give every open request to whoever asks next.

        Their videos go on: the worker does not need the connection, and holds a lease.
        """
        self._stopping.set()
        with self._lock:
            for delivery in self._open:
                with contextlib.suppress(Unavailable):
                    delivery.nak(1)
            self._open.clear()

    def _slot(self) -> None:
        source = self._source()
        while not self._stopping.is_set():
            try:
                self._one(source)
            except Unavailable:
                self._stopping.wait(0.5)
            except Exception:
                log.exception("a slot stumbled, and goes on")
                self._stopping.wait(1)

    def _one(self, source: RequestSource) -> None:
        delivery = source.fetch(FETCH_SECONDS)
        if delivery is None:
            return
        with self._lock:
            if self._stopping.is_set():
                delivery.nak(1)
                return
            self._open.add(delivery)
        try:
            self._handle(delivery)
        except Unavailable:
            self._give_back(delivery)
        finally:
            with self._lock:
                self._open.discard(delivery)

    def _handle(self, delivery: Delivery) -> None:
        try:
            self._deliveries.handle(delivery)
        except Unavailable:
            raise
        except Exception as problem:
            log.exception("%s could not be handled", delivery.message.subject)
            self._deliveries.stumble(delivery, problem)

    def _give_back(self, delivery: Delivery) -> None:
        """Without a word the request would hold its slot for the rest of `ack_wait`, a minute."""
        while not self._stopping.wait(GIVE_BACK_SECONDS):
            with contextlib.suppress(Unavailable):
                self._bus.check()
                delivery.nak(1)
                return

    def _keep_open(self) -> None:
        while not self._stopping.wait(IN_PROGRESS_SECONDS):
            with self._lock:
                deliveries = list(self._open)
            for delivery in deliveries:
                delivery.in_progress()
