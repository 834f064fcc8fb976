"""Pull consumers: messages are fetched one at a time, and settled."""

from __future__ import annotations

import json
import logging
from typing import Any, Final

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Delivery, Message
from functions.shared.streams.nats_connection import (
    NO_RESPONSE_ERRORS,
    REQUEST_TIMEOUT,
    NatsConnection,
)
from functions.shared.subjects import TURNS
from functions.shared.timestamps import NANOSECONDS

log = logging.getLogger(__name__)

# The durable consumer that all processes of `dispatch` share.
GENERATE_CONSUMER: Final = "generate"
# The durable consumer of the processes that forward events.
FORWARD_CONSUMER: Final = "forward"

# A fetch that is in flight when the connection breaks gets no answer, so every fetch is short.
FETCH_SECONDS: Final = 2.0

# The number of tokens in `$JS.ACK.<stream>.<consumer>.<delivered>.<seq>.<consumer seq>.<time>.
# <pending>`. With a domain, two more come after `$JS.ACK`, and one may come at the end (NATS
# ADR-15).
_SHORT_REPLY: Final = 9


class PullConsumer:
    """A subscription to a durable consumer.

    Each slot needs its own: concurrent fetches on one subscription take each other's answers.
    """

    def __init__(
        self,
        connection: NatsConnection,
        *,
        stream: str = TURNS,
        consumer: str = GENERATE_CONSUMER,
    ) -> None:
        """Subscribe at the first fetch, and again whenever the connection was replaced."""
        self._connection = connection
        self._names = (consumer, stream)
        self._client: Client | None = None
        self._subscription: Any = None

    def fetch(self, timeout: float) -> Delivery | None:
        """See `Source.fetch`."""
        try:
            msg = self._connection.run(self._fetch(timeout), timeout + REQUEST_TIMEOUT)
        except (nats.js.errors.FetchTimeoutError, nats.errors.TimeoutError):
            return None
        except (nats.errors.Error, *NO_RESPONSE_ERRORS) as problem:
            raise Unavailable("NATS does not answer. Try again.") from problem
        return _Delivered(self._connection, msg)

    async def _fetch(self, wait: float) -> Msg:
        client = await self._connection.client()
        if client is not self._client:
            stream = client.jetstream()
            consumer, name = self._names
            self._subscription = await stream.pull_subscribe_bind(consumer, stream=name)
            self._client = client
        messages: list[Msg] = await self._subscription.fetch(1, timeout=wait)
        return messages[0]


class _Delivered:
    """Implements `Delivery`: publishes acknowledgements (NATS ADR-13) on the reply subject."""

    def __init__(self, connection: NatsConnection, msg: Msg) -> None:
        self._connection = connection
        self._reply = msg.reply
        self._message = delivered_message(msg)[0]

    @property
    def message(self) -> Message:
        return self._message

    def ack(self) -> None:
        try:
            self._connection.request(self._reply, b"+ACK")
        except (nats.errors.Error, *NO_RESPONSE_ERRORS) as problem:
            raise Unavailable("NATS did not confirm the acknowledgement") from problem

    def nak(self, delay: float) -> None:
        self._send(nak_payload(delay))

    def term(self, reason: str) -> None:
        self._send(b"+TERM " + reason.encode())

    def in_progress(self) -> None:
        try:
            self._send(b"+WPI")
        except Unavailable as problem:
            # The next one may get through; otherwise the request is redelivered.
            log.warning("can't extend the time to settle a request: %s", problem.message)

    def _send(self, payload: bytes) -> None:
        try:
            self._connection.publish(self._reply, payload)
        except (nats.errors.Error, *NO_RESPONSE_ERRORS) as problem:
            raise Unavailable("NATS did not accept the acknowledgement") from problem


def nak_payload(delay: float) -> bytes:
    """The payload that asks for redelivery after `delay` seconds (NATS ADR-13)."""
    return b"-NAK " + json.dumps({"delay": int(delay * NANOSECONDS)}).encode()


def delivered_message(msg: Msg) -> tuple[Message, int]:
    """The delivered message, and the number of messages that follow it in the consumer.

    Parses the reply subject, because nats-py rounds the timestamp to microseconds.
    """
    fields = msg.reply.split(".")
    start = 5 if len(fields) == _SHORT_REPLY else 7
    seq, _, time, pending = (int(field) for field in fields[start : start + 4])
    return Message(msg.subject, seq, time, msg.data, msg.headers or {}), pending
