"""Following a stream: everything that is in it, and then everything that comes."""

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

# How often it is made sure that the stream is still the same one. Nothing tells of its loss.
LOOK_SECONDS: Final = 2.0
# A leader that was frozen answers from what it knew then, until another's heartbeat (1 s) tells it
# that it leads no more. So a stream ends too early only if it does so when looked at again.
BEHIND_LOOKS: Final = 2


class Follower:
    """One ordered consumer (ADR-15), which nats-py makes anew after every interruption.

    It goes on at the sequence where it was. In a stream that was made anew, after a loss of the
    servers' data or from a back-up, that place means nothing, and the consumer would wait for ever;
    so the stream itself is looked at again and again.
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
        """Follow what matches `subject`, from the first message after the sequence `after` on."""
        self._connection = connection
        self._stream = stream
        self._subject = subject
        self._last = after
        self._on_message = on_message
        self._on_caught_up = on_caught_up
        self._on_begun_anew = on_stream_recreated
        self._created: str | None = None
        self._behind = 0
        self._subscription: JetStreamContext.PushSubscription | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin as soon as there is a connection; all functions are called on its thread."""

        async def begin() -> None:
            # Kept here: the loop itself keeps only weak references to its tasks.
            self._task = asyncio.create_task(self._follow())

        self._connection.run(begin())

    def stop(self) -> None:
        """Call no function any more."""

        async def end() -> None:
            if self._task is not None:
                self._task.cancel()
            if self._subscription is not None:
                await self._subscription.unsubscribe()

        with contextlib.suppress(nats.errors.Error, *NO_RESPONSE_ERRORS):
            self._connection.run(end())

    async def _follow(self) -> None:
        while True:
            try:
                if await self._is_another_stream():
                    break
                if self._subscription is None:
                    await self._subscribe()
            except (nats.errors.Error, *NO_RESPONSE_ERRORS) as problem:
                log.debug("can't follow %s: %r", self._stream, problem)
            await asyncio.sleep(0.25 if self._subscription is None else LOOK_SECONDS)
        log.warning("the stream %s was begun anew", self._stream)
        if self._subscription is not None:
            with contextlib.suppress(nats.errors.Error, *NO_RESPONSE_ERRORS):
                await self._subscription.unsubscribe()
        self._on_begun_anew()

    async def _is_another_stream(self) -> bool:
        """Whether this stream does not go on where the one that was followed has stopped."""
        client = await self._connection.client()
        # Before the question is asked: what is delivered meanwhile may be newer than the answer.
        seen = self._last
        answer = await client.request(
            f"$JS.API.STREAM.INFO.{self._stream}", timeout=REQUEST_TIMEOUT
        )
        info: dict[str, Any] = json.loads(answer.data)
        if "error" in info or not _by_its_leader(info):
            return False
        if self._created is None:
            self._created = info["created"]
        self._behind = self._behind + 1 if info["state"]["last_seq"] < seen else 0
        return bool(info["created"] != self._created or self._behind >= BEHIND_LOOKS)

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
            # nats-py makes the consumer anew after two missed heartbeats.
            idle_heartbeat=1,
        )
        try:
            info = await subscription.consumer_info()
        except BaseException:
            with contextlib.suppress(nats.errors.Error, *NO_RESPONSE_ERRORS):
                await subscription.unsubscribe()
            raise
        self._subscription = subscription
        # Not its place in the stream, which begins behind what was purged.
        nothing_yet = info.delivered is None or info.delivered.consumer_seq == 0
        if info.num_pending == 0 and nothing_yet:
            self._on_caught_up()

    async def _deliver(self, msg: Msg) -> None:
        message, pending = delivered_message(msg)
        # Made anew before it had delivered anything, a consumer begins at the first message.
        try:
            if message.seq > self._last:
                self._last = message.seq
                self._on_message(message)
        except Exception:
            log.exception("%s, message %d, could not be taken in", message.subject, message.seq)
        finally:
            if pending == 0:
                self._on_caught_up()


def _by_its_leader(info: dict[str, Any]) -> bool:
    """Whether an answer comes from who knows: one server alone, or the leader of a cluster.

    A server whose disk was replaced answers too, before it has copied anything, and says 0.
    """
    return "cluster" not in info or bool(info["cluster"].get("leader"))
