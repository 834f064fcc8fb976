"""The consumers of endpoints, which hold the events that an endpoint is still to be told of."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from functions.dispatch.webhooks.backlog import Backlog
from functions.shared.accounts.endpoints import CONSUMER_PREFIX, Endpoint
from functions.shared.streams.nats_connection import NatsConnection
from functions.shared.subjects import VIDEOS
from functions.shared.timestamps import NANOSECONDS

# Of one question to JetStream.
_TIMEOUT: Final = 5.0


class EndpointConsumers:
    """Creates and removes them. Its coroutines run on the loop of `connection`.

    Each may raise `nats.errors.Error` or one of `NO_RESPONSE_ERRORS`, and may then be repeated.
    """

    def __init__(
        self, connection: NatsConnection, *, timeout_seconds: float, max_pending: int
    ) -> None:
        """Expect an attempt to take `timeout_seconds`, and hold `max_pending` events each."""
        self._connection = connection
        self._timeout_seconds = timeout_seconds
        self._max_pending = max_pending

    async def bind(self, endpoint: Endpoint) -> JetStreamContext.PullSubscription:
        """Subscribe to an endpoint's consumer, which is created or updated before."""
        stream = await self._stream()
        await stream.add_consumer(VIDEOS, self._config(endpoint))
        return await stream.pull_subscribe_bind(endpoint.consumer, stream=VIDEOS)

    async def remove(self, name: str) -> None:
        """Remove a consumer, with what it holds, if it is there."""
        try:
            await (await self._stream()).delete_consumer(VIDEOS, name)
        except NotFoundError:
            return

    async def all_but(self, endpoints: Iterable[Endpoint]) -> set[str]:
        """The names of those that belong to none of these endpoints."""
        names = {info.name for info in await self._infos()}
        wanted = {endpoint.consumer for endpoint in endpoints}
        return {name for name in names if name.startswith(CONSUMER_PREFIX)} - wanted

    async def backlogs(self, endpoints: Iterable[Endpoint]) -> dict[str, Backlog]:
        """What each account's endpoints have before them; those without a consumer have nothing."""
        infos = {info.name: info for info in await self._infos()}
        found: dict[str, Backlog] = {}
        for endpoint in endpoints:
            info = infos.get(endpoint.consumer)
            pending = 0
            if info is not None:
                pending = (info.num_pending or 0) + (info.num_ack_pending or 0)
            oldest = await self._oldest(endpoint, info) if info is not None and pending else None
            backlog = Backlog(pending, oldest)
            found[endpoint.account] = found.get(endpoint.account, Backlog(0, None)) + backlog
        return found

    async def _oldest(self, endpoint: Endpoint, info: ConsumerInfo) -> int | None:
        """When the first event was stored that an endpoint was not told of; None if it is gone."""
        stream, times = await self._stream(), list[float]()
        after = 1 + (info.ack_floor.stream_seq if info.ack_floor else 0)
        for subject in endpoint.subjects:
            with suppress(NotFoundError):
                message = await stream.get_msg(VIDEOS, seq=after, subject=subject, next=True)
                if message.time is not None:
                    times.append(message.time.timestamp())
        return int(min(times) * NANOSECONDS) if times else None

    async def _infos(self) -> list[ConsumerInfo]:
        stream, infos = await self._stream(), list[ConsumerInfo]()
        while page := await stream.consumers_info(VIDEOS, offset=len(infos)):
            infos += page
        return infos

    async def _stream(self) -> JetStreamContext:
        return (await self._connection.client()).jetstream(timeout=_TIMEOUT)

    def _config(self, endpoint: Endpoint) -> ConsumerConfig:
        return ConsumerConfig(
            durable_name=endpoint.consumer,
            # A new endpoint is notified of events from now on, and of no history.
            deliver_policy=DeliverPolicy.NEW,
            ack_policy=AckPolicy.EXPLICIT,
            # Twice as long as an attempt may take, so that only a dead replica's are redelivered.
            ack_wait=2 * self._timeout_seconds,
            # Includes webhooks that wait for a retry. As many as there may be queued videos, so
            # that an endpoint that fails for some videos is still notified of the others.
            max_ack_pending=self._max_pending,
            # Our code ends the retries, and logs it.
            max_deliver=-1,
            filter_subjects=endpoint.subjects,
        )
