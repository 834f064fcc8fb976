"""All webhooks of a process: a worker for each endpoint, on an event loop of their own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

import httpx
import nats.errors
from prometheus_client import CollectorRegistry

from functions.dispatch.webhooks.backlog import SAMPLE_SECONDS, WebhookBacklog
from functions.dispatch.webhooks.consumers import EndpointConsumers
from functions.dispatch.webhooks.endpoint_worker import EndpointWorker
from functions.dispatch.webhooks.retries import RETRY_DELAYS
from functions.dispatch.webhooks.sender import WebhookSender
from functions.shared import metrics
from functions.shared.accounts.endpoints import Endpoint
from functions.shared.accounts.file import POLL_SECONDS, AccountsFile
from functions.shared.errors import Unavailable
from functions.shared.networks import Network
from functions.shared.streams.nats_connection import NO_RESPONSE_ERRORS, NatsConnection

log = logging.getLogger(__name__)

# Grace period for attempts in flight; `make run` gives a process five seconds to stop.
DRAIN_SECONDS: Final = 2.0


class WebhookWorkers:
    """Runs the endpoints' workers beside the other work of the process, and follows the file.

    An endpoint that stays is not touched by changes of others, so nothing is delivered twice.
    """

    def __init__(
        self,
        accounts: AccountsFile,
        connection: NatsConnection,
        *,
        networks: Sequence[Network],
        timeout_seconds: float,
        max_pending: int,
        registry: CollectorRegistry,
        retry_delays: Sequence[float] = RETRY_DELAYS,
    ) -> None:
        """Deliver to the endpoints of `accounts`.

        Args:
            accounts: which endpoints there are, at any time.
            connection: used for webhooks alone, so that they can't delay requests; `stop` closes
                it.
            networks: see `WebhookSender`.
            timeout_seconds: see `WebhookSender`.
            max_pending: events that an endpoint may have waiting for another attempt.
            registry: where the attempts are counted.
            retry_delays: seconds to wait after each failed attempt.
        """
        self._accounts = accounts
        self._connection = connection
        self._attempts = metrics.WEBHOOK_ATTEMPTS.on(registry)
        self._backlog = WebhookBacklog()
        registry.register(self._backlog)
        self._consumers = EndpointConsumers(
            connection, timeout_seconds=timeout_seconds, max_pending=max_pending
        )
        self._sender_of = partial(
            WebhookSender,
            networks=networks,
            timeout_seconds=timeout_seconds,
            # Honours SSL_CERT_FILE, for endpoints with certificates of the operator's authority.
            certificates=httpx.create_ssl_context(),
        )
        self._retry_delays = retry_delays
        self._workers: dict[str, tuple[EndpointWorker, asyncio.Task[None]]] = {}
        # Consumers of former endpoints; None until those of earlier processes are known.
        self._former: set[str] | None = None
        self._was_ready = False
        self._running: concurrent.futures.Future[None] | None = None

    def start(self) -> None:
        """Start delivering."""
        log.info("webhooks for %d endpoints", len(self._accounts.document.endpoints))
        self._running = self._connection.start(self._run())

    def check(self) -> None:
        """Return once every endpoint of the start has a consumer, and so misses no event.

        Raises:
            Unavailable: one has none yet.
        """
        workers = tuple(self._workers.values())
        ready = self._former is not None and all(worker.bound for worker, _ in workers)
        self._was_ready = self._was_ready or ready
        if not self._was_ready:
            raise Unavailable("The consumers of webhooks are not there yet. Try again.")

    def stop(self) -> None:
        """Start no more attempts, wait briefly for those in flight, and close the connection."""
        if self._running is not None:
            self._running.cancel()
            # `cancel` does not wait for the attempts; `_drain` does.
            self._connection.run(self._drain(), DRAIN_SECONDS + 1)
        self._connection.close()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sample_backlog())
            while True:
                endpoints = self._accounts.document.endpoints
                await self._end_all_but(endpoints)
                self._start_or_change(endpoints, tasks)
                try:
                    await self._remove_former(endpoints)
                except (nats.errors.Error, *NO_RESPONSE_ERRORS) as problem:
                    log.debug("consumers of former endpoints stay for now: %r", problem)
                await asyncio.sleep(POLL_SECONDS)

    async def _end_all_but(self, endpoints: Sequence[Endpoint]) -> None:
        for name in self._workers.keys() - {endpoint.consumer for endpoint in endpoints}:
            worker, task = self._workers.pop(name)
            task.cancel()
            await worker.drain(0)
            if self._former is not None:
                self._former.add(name)

    def _start_or_change(self, endpoints: Sequence[Endpoint], tasks: asyncio.TaskGroup) -> None:
        for endpoint in endpoints:
            if endpoint.consumer in self._workers:
                self._workers[endpoint.consumer][0].use(endpoint)
                continue
            worker = EndpointWorker(
                endpoint,
                self._sender_of,
                self._consumers,
                self._connection,
                self._attempts,
                retry_delays=self._retry_delays,
            )
            self._workers[endpoint.consumer] = worker, tasks.create_task(worker.run())

    async def _remove_former(self, endpoints: Sequence[Endpoint]) -> None:
        if self._former is None:
            self._former = await self._consumers.all_but(endpoints)
        for name in [*self._former]:
            # An endpoint may be back before the consumer that it had is removed.
            if name not in self._workers:
                await self._consumers.remove(name)
                log.info("consumer %s removed: its endpoint is no longer in ACCOUNTS_FILE", name)
            self._former.discard(name)

    async def _sample_backlog(self) -> None:
        while True:
            try:
                self._backlog.put(await self._consumers.backlogs(self._accounts.document.endpoints))
            except (nats.errors.Error, *NO_RESPONSE_ERRORS) as problem:
                log.debug("the backlog of webhooks is unknown for now: %r", problem)
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _drain(self) -> None:
        workers = [worker for worker, _ in self._workers.values()]
        await asyncio.gather(*(worker.drain(DRAIN_SECONDS) for worker in workers))
