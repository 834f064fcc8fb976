"""Telling one endpoint, over and over, until it has heard everything that it should hear."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Sequence
from typing import Final

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext
from prometheus_client import Counter

from functions.dispatch.webhooks.message import Webhook
from functions.dispatch.webhooks.retries import MINUTE, PAUSES, pause_after
from functions.dispatch.webhooks.sender import Answer, Sender
from functions.shared.endpoints import Endpoint
from functions.shared.errors import InvalidRequest
from functions.shared.streams.consumers import delivered_message
from functions.shared.streams.nats_connection import NO_RESPONSE_ERRORS, NatsConnection
from functions.shared.subjects import VIDEOS

log = logging.getLogger(__name__)

# Attempts at one endpoint at a time, in each replica: enough for thousands of videos an hour, and
# no flood for an endpoint that comes back after an outage.
PARALLEL: Final = 4
# A fetch that was under way when the connection broke is lost, so none waits for long.
FETCH_SECONDS: Final = 5.0
# Before asking again for a consumer, or a NATS server, that is not there.
ABSENT_SECONDS: Final = 2.0
# How long an overloaded endpoint is left alone, whatever it asks for: other messages have their
# own schedules.
REST_SECONDS: Final = (5.0, MINUTE)


class Courier:
    """Carries the events of one endpoint's consumer to it. Lives on one event loop.

    The consumer counts attempts, and keeps what is to be tried again, so that both outlive this
    process; several replicas share it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sender: Sender,
        connection: NatsConnection,
        attempts: Counter,
        *,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """Count attempts in `attempts`, by account and outcome; wait `pauses` after failures."""
        self._endpoint = endpoint
        self._sender = sender
        self._connection = connection
        self._attempts = attempts
        self._pauses = pauses
        self._slots = asyncio.Semaphore(PARALLEL)
        self._under_way: set[asyncio.Task[None]] = set()
        self._rest_until = 0.0

    async def run(self) -> None:
        """Deliver for ever, through every outage of NATS and of the endpoint."""
        missing = False
        while True:
            try:
                consumer = await self._bind()
                missing = False
                await self._deliver_from(consumer)
            except nats.js.errors.NotFoundError:
                if not missing:
                    log.warning(
                        "no webhooks for %s: its consumer is missing. Run "
                        "`python -m functions.setup` with the same WEBHOOKS_FILE.",
                        self._endpoint.name,
                    )
                missing = True
            except (nats.errors.Error, *NO_RESPONSE_ERRORS) as problem:
                log.debug("webhooks wait for NATS: %r", problem)
            except Exception:
                log.exception("webhooks for %s stumbled, and go on", self._endpoint.name)
            await asyncio.sleep(ABSENT_SECONDS)

    async def finish(self, seconds: float) -> None:
        """Let attempts under way end, for `seconds` at most; the rest comes to another replica."""
        tasks = list(self._under_way)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _bind(self) -> JetStreamContext.PullSubscription:
        stream = (await self._connection.client()).jetstream()
        await stream.consumer_info(VIDEOS, self._endpoint.consumer)
        return await stream.pull_subscribe_bind(self._endpoint.consumer, stream=VIDEOS)

    async def _deliver_from(self, consumer: JetStreamContext.PullSubscription) -> None:
        try:
            while True:
                await self._take(consumer)
        finally:
            # Bound anew, it has another one.
            with contextlib.suppress(nats.errors.Error, *NO_RESPONSE_ERRORS):
                await consumer.unsubscribe()

    async def _take(self, consumer: JetStreamContext.PullSubscription) -> None:
        """Begin with the next event, once there is one and a slot for it."""
        await self._slots.acquire()
        try:
            await asyncio.sleep(self._rest_until - time.monotonic())
            [msg] = await consumer.fetch(1, timeout=FETCH_SECONDS)
        except (nats.js.errors.FetchTimeoutError, nats.errors.TimeoutError):
            self._slots.release()
            return
        except BaseException:
            self._slots.release()
            raise
        task = asyncio.create_task(self._handle(msg))
        self._under_way.add(task)
        task.add_done_callback(self._handled)

    def _handled(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._slots.release()
        if not task.cancelled() and task.exception() is not None:
            # It is delivered again after `ack_wait`.
            log.error("a webhook could not be handled", exc_info=task.exception())

    async def _handle(self, msg: Msg) -> None:
        try:
            webhook = Webhook.of(delivered_message(msg)[0], self._endpoint)
        except InvalidRequest as problem:
            await self._say(msg, b"+TERM " + problem.message.encode())
            return
        answer = await self._sender.send(webhook)
        attempt = msg.metadata.num_delivered
        if answer.delivered:
            log.info("%s: %s was told", webhook.video_id, self._endpoint.name)
            self._count("delivered")
            await self._say(msg, b"+ACK")
        else:
            await self._failed(msg, webhook, answer, attempt)

    async def _failed(self, msg: Msg, webhook: Webhook, answer: Answer, attempt: int) -> None:
        if answer.overloaded:
            least, most = REST_SECONDS
            rest = min(max(answer.retry_after or 0.0, least), most)
            self._rest_until = time.monotonic() + rest
        pause = pause_after(attempt, retry_after=answer.retry_after, pauses=self._pauses)
        if answer.gone or pause is None:
            remedy = " Remove it from WEBHOOKS_FILE." if answer.gone else ""
            log.warning(
                "%s: %s is not told, attempt %d was the last: %s.%s",
                webhook.video_id,
                self._endpoint.name,
                attempt,
                answer.problem,
                remedy,
            )
            self._count("given_up")
            await self._say(msg, b"+TERM the webhook was given up")
            return
        log.warning(
            "%s: %s could not be told, attempt %d: %s. Again in %.0f s.",
            webhook.video_id,
            self._endpoint.name,
            attempt,
            answer.problem,
            pause,
        )
        self._count("failed")
        await self._say(msg, b"-NAK " + json.dumps({"delay": int(pause * 1e9)}).encode())

    def _count(self, outcome: str) -> None:
        self._attempts.labels(self._endpoint.account, outcome).inc()

    async def _say(self, msg: Msg, word: bytes) -> None:
        """Settle the delivery (ADR-13). If NATS does not hear it, the event comes again."""
        with contextlib.suppress(nats.errors.Error, *NO_RESPONSE_ERRORS):
            client = await self._connection.client()
            await client.request(msg.reply, word, timeout=ABSENT_SECONDS)
