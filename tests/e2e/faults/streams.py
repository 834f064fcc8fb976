"""The streams as a stranger reads them: plain nats-py, and nothing of Kinora's."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import nats
import nats.errors
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig, StreamSource

from tests.patience import Limit, scaled

T = TypeVar("T")

AUDIT: Final = "AUDIT"
# After a server came back, its cluster is whole again within a few seconds.
ELECTION_SECONDS: Final = 20.0
_SOURCE: Final = "Nats-Stream-Source"


@dataclass(frozen=True)
class Stored:
    """A message that a stream took.

    `time` is JetStream's, in seconds since the epoch; of a copy, the moment of copying, which is
    milliseconds later.
    """

    subject: str
    seq: int
    time: float
    payload: bytes

    @property
    def account(self) -> str:
        """The third token of the subject."""
        return self.subject.split(".")[2]

    @property
    def video_id(self) -> str:
        """The fourth token of the subject."""
        return self.subject.split(".")[3]

    @property
    def name(self) -> str:
        """The last token: of a message in VIDEOS, what happened."""
        return self.subject.rpartition(".")[2]

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent in structured mode, or an empty object if it is none."""
        try:
            document = json.loads(self.payload)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def data(self) -> dict[str, Any]:
        """The data of the CloudEvent, or an empty object."""
        data = self.event.get("data")
        return data if isinstance(data, dict) else {}


class Streams:
    """Reads and prepares the streams of one server. Safe to use from any thread."""

    def __init__(self, url: str) -> None:
        """Connect for each call anew: the server is killed now and then."""
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="streams", daemon=True)
        self._thread.start()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(scaled(60))

    def _ask(self, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Ask again while a cluster elects a leader: what a reader waits for is no finding."""
        limit = Limit(ELECTION_SECONDS)
        while True:
            try:
                return self._run(question())
            except (nats.errors.Error, OSError):
                if limit.left <= 0:
                    raise
                threading.Event().wait(0.5)

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start_audit(self) -> None:
        """Have the server itself copy every message that REQUESTS and VIDEOS store.

        The streams keep one message a subject, so what they hold at the end says nothing about
        what was stored twice; a subscriber would miss what is stored while it reconnects.
        """
        self._run(self._start_audit())

    async def _start_audit(self) -> None:
        async with await _connect(self._url) as client:
            sources = [StreamSource(name=name) for name in ("REQUESTS", "VIDEOS")]
            context = client.jetstream(timeout=scaled(10))
            # As many copies as what it copies: a server that loses its disk must not take it along.
            copies = (await context.stream_info("VIDEOS")).config.num_replicas
            await context.add_stream(StreamConfig(name=AUDIT, sources=sources, num_replicas=copies))

    def set_ack_wait(self, seconds: float) -> None:
        """Have requests of a killed `dispatch` delivered again after `seconds`."""
        self._run(self._set_ack_wait(seconds))

    async def _set_ack_wait(self, seconds: float) -> None:
        async with await _connect(self._url) as client:
            stream = client.jetstream(timeout=scaled(10))
            config = (await stream.consumer_info("REQUESTS", "generate")).config
            await stream.add_consumer("REQUESTS", replace(config, ack_wait=seconds))

    def read(self, stream: str) -> list[Stored]:
        """Every message that `stream` holds, in its order."""
        return self._ask(lambda: self._read(stream, ">"))

    def audit(self, stream: str) -> list[Stored]:
        """Every message that `stream` ever took, in its order."""
        found = self._ask(lambda: self._read(AUDIT, f"kinora.{stream.lower()}.>"))
        return sorted(found, key=lambda message: message.seq)

    async def _read(self, stream: str, subject: str) -> list[Stored]:
        async with await _connect(self._url) as client:
            context = client.jetstream(timeout=scaled(10))
            info = await context.add_consumer(
                stream,
                ConsumerConfig(
                    ack_policy=AckPolicy.NONE, filter_subject=subject, inactive_threshold=30
                ),
            )
            pending = info.num_pending or 0
            found: list[Stored] = []
            name = info.name
            subscription = await context.pull_subscribe_bind(name, stream=stream)
            while len(found) < pending:
                try:
                    batch = await subscription.fetch(
                        min(256, pending - len(found)), timeout=scaled(5)
                    )
                except NatsTimeoutError:
                    break  # what was replaced since it was counted
                found.extend(_stored(msg) for msg in batch)
            return found

    def settled(self) -> bool:
        """Whether no request waits for `dispatch` or is with it."""
        return self._ask(self._settled)

    async def _settled(self) -> bool:
        async with await _connect(self._url) as client:
            info = await client.jetstream(timeout=scaled(10)).consumer_info("REQUESTS", "generate")
            return not info.num_pending and not info.num_ack_pending

    def publish(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> int:
        """Publish as another system does, and return the sequence once it is stored."""
        return self._run(self._publish(subject, payload, headers))

    async def _publish(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> int:
        async with await _connect(self._url) as client:
            ack = await client.jetstream(timeout=scaled(2)).publish(
                subject, payload, headers=headers
            )
            return int(ack.seq)


async def _connect(url: str) -> Client:
    async def ignore(_: Exception) -> None:
        """The caller hears of it anyway; nats-py would log it with its traceback."""

    return await nats.connect(
        url.split(","), allow_reconnect=False, connect_timeout=math.ceil(scaled(2)), error_cb=ignore
    )


def _stored(msg: Any) -> Stored:
    meta, headers = msg.metadata, msg.headers or {}
    # A copy says which place the original has in its stream.
    source = headers.get(_SOURCE)
    seq = int(source.split()[1]) if source else meta.sequence.stream
    return Stored(msg.subject, seq, meta.timestamp.timestamp(), msg.data)
