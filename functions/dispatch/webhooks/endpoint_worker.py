"""Delivers to one endpoint every event that its consumer holds, and retries what fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext
from prometheus_client import Counter
from structlog.contextvars import bind_contextvars

from functions.dispatch.webhooks.consumers import EndpointConsumers
from functions.dispatch.webhooks.message import Webhook
from functions.dispatch.webhooks.retries import RETRY_DELAYS, retry_delay
from functions.dispatch.webhooks.sender import DeliveryResult, WebhookSender
from functions.shared.accounts.endpoints import Endpoint
from functions.shared.errors import InvalidRequest
from functions.shared.streams.consumers import FETCH_SECONDS, delivered_message, nak_payload
from functions.shared.streams.nats_connection import NO_RESPONSE_ERRORS, NatsConnection
from functions.shared.timestamps import MINUTE_SECONDS

log = logging.getLogger(__name__)

# Concurrent attempts for each endpoint and replica: enough for thousands of videos an hour, and no
# flood for an endpoint that is back after an outage.
MAX_CONCURRENT: Final = 4
# Before binding again to a consumer, or a NATS server, that is missing; and how long settling a
# delivery may take.
NATS_RETRY_SECONDS: Final = 2.0
# Shortest and longest pause for an overloaded endpoint, whatever its Retry-After asks for: it
# delays other messages too, and they have schedules of their own.
OVERLOAD_PAUSE_SECONDS: Final = (5.0, float(MINUTE_SECONDS))


class EndpointWorker:
    """Pulls events from one endpoint's consumer and sends them. Runs on one event loop.

    The consumer counts attempts and keeps what is to be retried, so that both survive this process;
    several replicas share it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sender_of: Callable[[Endpoint], WebhookSender],
        consumers: EndpointConsumers,
        connection: NatsConnection,
        attempts: Counter,
        *,
        retry_delays: Sequence[float] = RETRY_DELAYS,
    ) -> None:
        """Count in `attempts`, by account and outcome; wait `retry_delays` after failures."""
        self._endpoint = endpoint
        self._sender_of = sender_of
        self._sender = sender_of(endpoint)
        self._consumers = consumers
        self._connection = connection
        self._attempts = attempts
        self._retry_delays = retry_delays
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._paused_until = 0.0
        # Whether the endpoint has a consumer, or had one.
        self.bound = False

    def use(self, endpoint: Endpoint) -> None:
        """Sign later attempts with the secrets of `endpoint`, the same but for those."""
        if endpoint != self._endpoint:
            self._endpoint, self._sender = endpoint, self._sender_of(endpoint)

    async def run(self) -> None:
        """Deliver for ever, through every outage of NATS and of the endpoint."""
        missing = False
        while True:
            try:
                consumer = await self._consumers.bind(self._endpoint)
                self.bound, missing = True, False
                await self._deliver_from(consumer)
            except nats.js.errors.NotFoundError:
                if not missing:
                    log.warning(
                        "no webhooks for %s: the stream is missing. Run "
                        "`python -m functions.setup`.",
                        self._endpoint.name,
                    )
                missing = True
            except (nats.errors.Error, *NO_RESPONSE_ERRORS) as problem:
                log.debug("webhooks wait for NATS: %r", problem)
            except Exception:
                log.exception("unexpected error in webhooks for %s; retrying", self._endpoint.name)
            await asyncio.sleep(NATS_RETRY_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Wait up to `seconds` for attempts in flight; the rest is redelivered elsewhere."""
        tasks = list(self._in_flight)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _deliver_from(self, consumer: JetStreamContext.PullSubscription) -> None:
        try:
            while True:
                await self._start_next(consumer)
        finally:
            # The next binding subscribes again.
            with contextlib.suppress(nats.errors.Error, *NO_RESPONSE_ERRORS):
                await consumer.unsubscribe()

    async def _start_next(self, consumer: JetStreamContext.PullSubscription) -> None:
        """Start on the next event, once there is one and a slot for it."""
        await self._slots.acquire()
        try:
            await asyncio.sleep(self._paused_until - time.monotonic())
            [msg] = await consumer.fetch(1, timeout=FETCH_SECONDS)
        except (nats.js.errors.FetchTimeoutError, nats.errors.TimeoutError):
            self._slots.release()
            return
        except BaseException:
            self._slots.release()
            raise
        task = asyncio.create_task(self._handle(msg))
        self._in_flight.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._slots.release()
        if not task.cancelled() and task.exception() is not None:
            # It is redelivered after `ack_wait`.
            log.error("unexpected error in a webhook", exc_info=task.exception())

    async def _handle(self, msg: Msg) -> None:
        try:
            webhook = Webhook.of(delivered_message(msg)[0], self._endpoint)
        except InvalidRequest as problem:
            await self._settle(msg, b"+TERM " + problem.message.encode())
            return
        # Of this task alone, which handles one event.
        bind_contextvars(account=self._endpoint.account, video_id=webhook.video_id)
        result = await self._sender.send_webhook(webhook)
        if result.delivered:
            log.info("webhook to %s delivered", self._endpoint.name)
            self._count("delivered")
            await self._settle(msg, b"+ACK")
        else:
            await self._retry_or_give_up(msg, result)

    async def _retry_or_give_up(self, msg: Msg, result: DeliveryResult) -> None:
        if result.overloaded:
            shortest, longest = OVERLOAD_PAUSE_SECONDS
            pause = min(max(result.retry_after or 0.0, shortest), longest)
            self._paused_until = time.monotonic() + pause
        attempt = msg.metadata.num_delivered
        delay = retry_delay(attempt, retry_after=result.retry_after, delays=self._retry_delays)
        if result.gone or delay is None:
            remedy = " Remove it from ACCOUNTS_FILE." if result.gone else ""
            log.warning(
                "webhook to %s given up after attempt %d: %s.%s",
                self._endpoint.name,
                attempt,
                result.problem,
                remedy,
            )
            self._count("given_up")
            await self._settle(msg, b"+TERM the webhook was given up")
            return
        log.warning(
            "webhook to %s failed, attempt %d: %s. Retrying in %.0f s.",
            self._endpoint.name,
            attempt,
            result.problem,
            delay,
        )
        self._count("failed")
        await self._settle(msg, nak_payload(delay))

    def _count(self, outcome: str) -> None:
        self._attempts.labels(self._endpoint.account, outcome).inc()

    async def _settle(self, msg: Msg, payload: bytes) -> None:
        """Settle the delivery (NATS ADR-13). If NATS does not confirm, the event is redelivered."""
        with contextlib.suppress(nats.errors.Error, *NO_RESPONSE_ERRORS):
            client = await self._connection.client()
            await client.request(msg.reply, payload, timeout=NATS_RETRY_SECONDS)
