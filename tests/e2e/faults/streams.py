"""Reads the streams with plain nats-py, without Kinora's code but for the queue's state."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import nats
import nats.errors
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig, StreamSource
from nats.js.errors import NotFoundError

from functions.shared.streams.queue_state import QueueState
from functions.shared.subjects import QUEUE_SUBJECT
from tests.patience import Limit, scaled

T = TypeVar("T")

AUDIT: Final = "AUDIT"
# After a server returns, its cluster elects a leader within a few seconds.
ELECTION_SECONDS: Final = 20.0
_SOURCE: Final = "Nats-Stream-Source"


@dataclass(frozen=True)
class StoredMessage:
    """A message that a stream stored.

    `time` is JetStream's timestamp, in seconds since the epoch. For a copy, it is the time of the
    copying, which is milliseconds later.
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
        """The last token of the subject: in VIDEOS, the event's name."""
        return self.subject.rpartition(".")[2]

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent in structured mode, or an empty dictionary if it is invalid."""
        try:
            document = json.loads(self.payload)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def data(self) -> dict[str, Any]:
        """The data of the CloudEvent, or an empty dictionary."""
        data = self.event.get("data")
        return data if isinstance(data, dict) else {}


class Streams:
    """Reads, audits and publishes to the streams of a server or cluster. Thread-safe."""

    def __init__(self, url: str) -> None:
        """Read from `url`; each call opens its own connection, because tests kill the server."""
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="streams", daemon=True)
        self._thread.start()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(scaled(60))

    def _retry(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Retry while a cluster elects a leader; that delay is not a violation."""
        limit = Limit(ELECTION_SECONDS)
        while True:
            try:
                return self._run(operation())
            except (nats.errors.Error, OSError):
                if limit.left <= 0:
                    raise
                threading.Event().wait(0.5)

    def close(self) -> None:
        """Stop the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start_audit(self) -> None:
        """Have the server itself copy every message that REQUESTS and VIDEOS store.

        The streams keep one message per subject, so their final contents do not show what was
        stored twice; a subscriber would miss messages while it reconnects.
        """
        self._run(self._start_audit())

    async def _start_audit(self) -> None:
        async with await _connect(self._url) as client:
            sources = [StreamSource(name=name) for name in ("REQUESTS", "VIDEOS")]
            context = client.jetstream(timeout=scaled(10))
            # As many replicas as the source, so that the audit survives the loss of one disk too.
            replicas = (await context.stream_info("VIDEOS")).config.num_replicas
            await context.add_stream(
                StreamConfig(name=AUDIT, sources=sources, num_replicas=replicas)
            )

    def set_ack_wait(self, seconds: float) -> None:
        """Have the requests of a killed `dispatch` redelivered after `seconds`."""
        self._run(self._set_ack_wait(seconds))

    async def _set_ack_wait(self, seconds: float) -> None:
        async with await _connect(self._url) as client:
            stream = client.jetstream(timeout=scaled(10))
            config = (await stream.consumer_info("TURNS", "generate")).config
            await stream.add_consumer("TURNS", replace(config, ack_wait=seconds))

    def delete_consumer(self) -> float:
        """Delete the consumer of `dispatch`, as an operator may; returns its ack wait."""
        return self._run(self._delete_consumer())

    async def _delete_consumer(self) -> float:
        async with await _connect(self._url) as client:
            stream = client.jetstream(timeout=scaled(10))
            config = (await stream.consumer_info("TURNS", "generate")).config
            await stream.delete_consumer("TURNS", "generate")
            return float(config.ack_wait or 0)

    def purge(self, subjects: Mapping[str, Iterable[str]]) -> None:
        """Remove the messages of these subjects of each stream, as an operator may."""
        self._run(self._purge(subjects))

    async def _purge(self, subjects: Mapping[str, Iterable[str]]) -> None:
        async with await _connect(self._url) as client:
            context = client.jetstream(timeout=scaled(10))
            for stream, names in subjects.items():
                for name in names:
                    await context.purge_stream(stream, subject=name)

    def read(self, stream: str) -> list[StoredMessage]:
        """Every message that `stream` currently holds, in order."""
        return self._retry(lambda: self._read(stream, ">"))

    def audit(self, stream: str, of: str = ">") -> list[StoredMessage]:
        """Every message that `stream` ever stored, in order; `of` is a pattern like `acme.v1.*`."""
        found = self._retry(lambda: self._read(AUDIT, f"kinora.{stream.lower()}.{of}"))
        return sorted(found, key=lambda message: message.seq)

    async def _read(self, stream: str, subject: str) -> list[StoredMessage]:
        async with await _connect(self._url) as client:
            context = client.jetstream(timeout=scaled(10))
            info = await context.add_consumer(
                stream,
                ConsumerConfig(
                    ack_policy=AckPolicy.NONE, filter_subject=subject, inactive_threshold=30
                ),
            )
            pending = info.num_pending or 0
            found: list[StoredMessage] = []
            name = info.name
            subscription = await context.pull_subscribe_bind(name, stream=stream)
            while len(found) < pending:
                try:
                    batch = await subscription.fetch(
                        min(256, pending - len(found)), timeout=scaled(5)
                    )
                except NatsTimeoutError:
                    break  # some were replaced after they were counted
                found.extend(_stored(msg) for msg in batch)
            return found

    def is_idle(self) -> bool:
        """Whether no request waits for a turn or has one."""
        return self._retry(self._is_idle)

    async def _is_idle(self) -> bool:
        async with await _connect(self._url) as client:
            context = client.jetstream(timeout=scaled(10))
            try:
                written = await context.get_last_msg("QUEUE", QUEUE_SUBJECT)
            except NotFoundError:
                return False
            queue = QueueState.model_validate_json(written.data or b"")
            requests = (await context.stream_info("REQUESTS")).state.last_seq
            turns = (await context.stream_info("TURNS")).state.messages
            return not turns and not queue.unsettled and queue.requests >= requests

    def publish(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> int:
        """Publish like another system, and return the sequence once the message is stored."""
        return self._run(self._publish(subject, payload, headers))

    async def _publish(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> int:
        async with await _connect(self._url) as client:
            ack = await client.jetstream(timeout=scaled(2)).publish(
                subject, payload, headers=headers
            )
            return int(ack.seq)


async def _connect(url: str) -> Client:
    async def ignore(_: Exception) -> None:
        """The call raises the error anyway; nats-py would also log it with its traceback."""

    return await nats.connect(
        url.split(","), allow_reconnect=False, connect_timeout=math.ceil(scaled(2)), error_cb=ignore
    )


def _stored(msg: Any) -> StoredMessage:
    meta, headers = msg.metadata, msg.headers or {}
    # The header of a copy contains the sequence of the original in its stream.
    source = headers.get(_SOURCE)
    seq = int(source.split()[1]) if source else meta.sequence.stream
    return StoredMessage(msg.subject, seq, meta.timestamp.timestamp(), msg.data)
