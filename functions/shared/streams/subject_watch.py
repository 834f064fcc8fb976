"""A plain subscription beside the streams: early hints that something was published."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from functions.shared.streams.nats_connection import NO_RESPONSE_ERRORS, NatsConnection


def watch(
    connection: NatsConnection, subject: str, on_message: Callable[[str], None]
) -> Callable[[], None]:
    """See `Bus.watch`; raises one of `NO_RESPONSE_ERRORS` without a connection."""

    async def deliver(msg: Msg) -> None:
        on_message(msg.subject)

    async def subscribe() -> Subscription:
        return await (await connection.client()).subscribe(subject, cb=deliver)

    subscription = connection.run(subscribe())

    def stop() -> None:
        with contextlib.suppress(nats.errors.Error, *NO_RESPONSE_ERRORS):
            connection.run(subscription.unsubscribe())

    return stop
