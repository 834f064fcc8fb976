"""All webhooks of a process: a courier for each endpoint, on an event loop of their own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Iterable, Sequence
from typing import Final

import httpx
from prometheus_client import CollectorRegistry, Counter

from functions.dispatch.webhooks.courier import Courier
from functions.dispatch.webhooks.retries import PAUSES
from functions.dispatch.webhooks.sender import Sender
from functions.shared.endpoints import Endpoint
from functions.shared.networks import Network
from functions.shared.streams.nats_connection import NatsConnection

log = logging.getLogger(__name__)

# Attempts under way may end in it; `make run` gives a process five seconds to stop.
STOP_SECONDS: Final = 2.0


class Couriers:
    """Runs the couriers beside everything else that the process does.

    They have a connection to NATS of their own, so that nothing here can hold up the requests.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        nats_url: str,
        *,
        networks: Sequence[Network],
        seconds: float,
        registry: CollectorRegistry,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """See `Sender` for `networks` and `seconds`, and `Courier` for `pauses`."""
        self._connection = NatsConnection(nats_url)
        attempts = Counter(
            "kinora_webhook_attempts_total",
            "Attempts to deliver a webhook, by how they ended.",
            ["account", "outcome"],
            registry=registry,
        )
        # With SSL_CERT_FILE, also endpoints whose certificates are the operator's own.
        certificates = httpx.create_ssl_context()
        self._couriers = [
            Courier(
                endpoint,
                Sender(endpoint, networks=networks, seconds=seconds, certificates=certificates),
                self._connection,
                attempts,
                pauses=pauses,
            )
            for endpoint in endpoints
        ]
        self._running: concurrent.futures.Future[None] | None = None

    def start(self) -> None:
        """Begin to deliver."""
        log.info("webhooks for %d endpoints", len(self._couriers))
        self._running = self._connection.begin(self._run())

    def stop(self) -> None:
        """Begin no other attempt, and give those under way a moment."""
        if self._running is not None:
            self._running.cancel()
            # Cancelling does not wait; finishing does.
            self._connection.run(self._finish(), STOP_SECONDS + 1)
        self._connection.close()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for courier in self._couriers:
                tasks.create_task(courier.run())

    async def _finish(self) -> None:
        await asyncio.gather(*(courier.finish(STOP_SECONDS) for courier in self._couriers))
