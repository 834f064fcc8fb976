"""Follows a stream: replays what is stored, then delivers what is published."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from typing import Any, Final

import nats.errors
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext

from functions.shared.streams.bus import Message
from functions.shared.streams.consumers import delivered_message
from functions.shared.streams.nats_connection import (
    NO_RESPONSE_ERRORS,
    REQUEST_TIMEOUT,
    NatsConnection,
)

log = logging.getLogger(__name__)

# How often to check whether the stream was recreated: no event reports that.
CHECK_INTERVAL_SECONDS: Final = 2.0
# A leader that was frozen reports outdated state until the new leader's heartbeat (1 s) reaches it.
# So the stream counts as truncated only if two checks in a row say so.
TRUNCATED_CHECKS: Final = 2


class Follower:
    """An ordered consumer (NATS ADR-15), which nats-py recreates after every interruption.

    It resumes at the last sequence. In a stream that was recreated, after a loss of the servers'
    data or from a backup, that sequence means nothing and the consumer would wait for ever, so
    the stream itself is checked regularly.
    """

    def __init__(
        self,
        connection: NatsConnection,
        *,
        stream: str,
        subject: str,
        after: int,
        on_message: Callable[[Message], None],
        on_caught_up: Callable[[], None],
        on_stream_recreated: Callable[[], None],
    ) -> None:
        """Deliver what matches `subject` after the sequence `after`; see `Bus.follow`."""
        self._connection = connection
        self._stream = stream
        self._subject = subject
        self._last = after
        self._on_message = on_message
        self._on_caught_up = on_caught_up
        self._on_stream_recreated = on_stream_recreated
        self._created: str | None = None
        self._truncated_checks = 0
        self._subscription: JetStreamContext.PushSubscription | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start once there is a connection; its thread calls all callbacks."""

        async def start() -> None:
            # Keep a reference, because the event loop holds its tasks weakly.
            self._task = asyncio.create_task(self._follow())

        self._connection.run(start())

    def stop(self) -> None:
        """Stop; no callback is called afterwards."""

        async def cancel() -> None:
            if self._task is not None:
                self._task.cancel()
            if self._subscription is not None:
                await self._subscription.unsubscribe()

        with contextlib.suppress(nats.errors.Error, *NO_RESPONSE_ERRORS):
            self._connection.run(cancel())

    async def _follow(self) -> None:
        while True:
            try:
                if await self._was_recreated():
                    break
                if self._subscription is None:
                    await self._subscribe()
            except (nats.errors.Error, *NO_RESPONSE_ERRORS) as problem:
                log.debug("can't follow %s: %r", self._stream, problem)
            await asyncio.sleep(0.25 if self._subscription is None else CHECK_INTERVAL_SECONDS)
        log.warning("the stream %s was recreated", self._stream)
        if self._subscription is not None:
            with contextlib.suppress(nats.errors.Error, *NO_RESPONSE_ERRORS):
                await self._subscription.unsubscribe()
        self._on_stream_recreated()

    async def _was_recreated(self) -> bool:
        """Whether the stream is not the one that was followed so far, or was truncated."""
        client = await self._connection.client()
        # Read before the request: a message delivered in the meantime may be newer than the answer.
        seen = self._last
        answer = await client.request(
            f"$JS.API.STREAM.INFO.{self._stream}", timeout=REQUEST_TIMEOUT
        )
        info: dict[str, Any] = json.loads(answer.data)
        if "error" in info or not is_from_leader(info):
            return False
        if self._created is None:
            self._created = info["created"]
        self._truncated_checks = (
            self._truncated_checks + 1 if info["state"]["last_seq"] < seen else 0
        )
        return bool(info["created"] != self._created or self._truncated_checks >= TRUNCATED_CHECKS)

    async def _subscribe(self) -> None:
        client = await self._connection.client()
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self._last + 1
        )
        subscription = await client.jetstream().subscribe(
            self._subject,
            stream=self._stream,
            config=config,
            cb=self._deliver,
            ordered_consumer=True,
            # nats-py recreates the consumer after two missed heartbeats.
            idle_heartbeat=1,
        )
        try:
            info = await subscription.consumer_info()
        except BaseException:
            with contextlib.suppress(nats.errors.Error, *NO_RESPONSE_ERRORS):
                await subscription.unsubscribe()
            raise
        self._subscription = subscription
        # Not its stream sequence, which starts behind what was purged.
        nothing_delivered = info.delivered is None or info.delivered.consumer_seq == 0
        if info.num_pending == 0 and nothing_delivered:
            self._on_caught_up()

    async def _deliver(self, msg: Msg) -> None:
        message, pending = delivered_message(msg)
        # A consumer that was recreated before its first delivery starts at the first message.
        try:
            if message.seq > self._last:
                self._last = message.seq
                self._on_message(message)
        except Exception:
            log.exception("the message %d on %s failed to apply", message.seq, message.subject)
        finally:
            if pending == 0:
                self._on_caught_up()


def is_from_leader(info: dict[str, Any]) -> bool:
    """Whether a stream's info comes from its leader, or from a server without a cluster.

    A replica whose disk was replaced also answers, with the sequence 0 until it has caught up.
    """
    return "cluster" not in info or bool(info["cluster"].get("leader"))
