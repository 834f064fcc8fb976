"""All webhooks of a process: a worker for each endpoint, on an event loop of their own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Iterable, Sequence
from typing import Final

import httpx
from prometheus_client import CollectorRegistry, Counter

from functions.dispatch.webhooks.endpoint_worker import EndpointWorker
from functions.dispatch.webhooks.retries import RETRY_DELAYS
from functions.dispatch.webhooks.sender import WebhookSender
from functions.shared.accounts.endpoints import Endpoint
from functions.shared.networks import Network
from functions.shared.streams.nats_connection import NatsConnection

log = logging.getLogger(__name__)

# Grace period for attempts in flight; `make run` gives a process five seconds to stop.
DRAIN_SECONDS: Final = 2.0


class WebhookWorkers:
    """Runs the endpoints' workers beside the other work of the process."""

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        connection: NatsConnection,
        *,
        networks: Sequence[Network],
        timeout_seconds: float,
        registry: CollectorRegistry,
        retry_delays: Sequence[float] = RETRY_DELAYS,
    ) -> None:
        """Deliver to `endpoints`.

        Args:
            endpoints: where webhooks go.
            connection: used for webhooks alone, so that they can't delay requests; `stop` closes
                it.
            networks: see `WebhookSender`.
            timeout_seconds: see `WebhookSender`.
            registry: where the attempts are counted.
            retry_delays: seconds to wait after each failed attempt.
        """
        self._connection = connection
        attempts = Counter(
            "kinora_webhook_attempts_total",
            "Attempts to deliver a webhook, by how they ended.",
            ["account", "outcome"],
            registry=registry,
        )
        # Honours SSL_CERT_FILE, for endpoints with certificates of the operator's own authority.
        certificates = httpx.create_ssl_context()
        self._workers = [
            EndpointWorker(
                endpoint,
                WebhookSender(
                    endpoint,
                    networks=networks,
                    timeout_seconds=timeout_seconds,
                    certificates=certificates,
                ),
                connection,
                attempts,
                retry_delays=retry_delays,
            )
            for endpoint in endpoints
        ]
        self._running: concurrent.futures.Future[None] | None = None

    def start(self) -> None:
        """Start delivering."""
        log.info("webhooks for %d endpoints", len(self._workers))
        self._running = self._connection.start(self._run())

    def stop(self) -> None:
        """Start no more attempts, wait briefly for those in flight, and close the connection."""
        if self._running is not None:
            self._running.cancel()
            # `cancel` does not wait for the attempts; `_drain` does.
            self._connection.run(self._drain(), DRAIN_SECONDS + 1)
        self._connection.close()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for worker in self._workers:
                tasks.create_task(worker.run())

    async def _drain(self) -> None:
        await asyncio.gather(*(worker.drain(DRAIN_SECONDS) for worker in self._workers))
