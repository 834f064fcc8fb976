"""The `Bus` of a real NATS server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from functions.shared.streams.bus import Message, Source, StreamEnd
from functions.shared.streams.consumers import GENERATE_CONSUMER, PullConsumer
from functions.shared.streams.follower import Follower, is_from_leader
from functions.shared.streams.jetstream_api import JetStreamApi, no_response
from functions.shared.streams.nats_connection import NO_RESPONSE_ERRORS, NatsConnection
from functions.shared.streams.silence import Silence
from functions.shared.streams.stream_metrics import StreamMetrics
from functions.shared.streams.subject_watch import watch
from functions.shared.subjects import REQUESTS, TURNS, VIDEOS, stream_of
from functions.shared.timestamps import parse_rfc3339

# Of one batch; the server's default limit.
MAX_PORTION_MESSAGES: Final = 1000


class JetStream:
    """Implements `Bus`, which documents each method."""

    def __init__(
        self, url: str, silence: Silence | None = None, metrics: StreamMetrics | None = None
    ) -> None:
        """Connect lazily to `url` (`nats://host:port`, several separated by commas).

        `silence` is for functions with many callers; see `NatsConnection`.
        """
        self._connection = NatsConnection(url, silence)
        self._metrics = metrics
        if metrics is not None:
            metrics.watch(self._connection)
        self._api = JetStreamApi(self._connection)

    def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        expected: int,
        expected_filter: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """See `Bus.publish`."""
        fields = {**(headers or {}), "Nats-Expected-Last-Subject-Sequence": str(expected)}
        if expected_filter is not None:
            fields["Nats-Expected-Last-Subject-Sequence-Subject"] = expected_filter
        if self._metrics is None:
            return self._api.publish(subject, payload, fields)
        with self._metrics.publishing(stream_of(subject)):
            return self._api.publish(subject, payload, fields)

    def get_last_message(self, stream: str, subject: str, *, leader: bool) -> Message | None:
        """See `Bus.get_last_message`."""
        get = self._api.get_message if leader else self._api.direct_get
        return get(stream, {"last_by_subj": subject})

    def get_message(self, stream: str, seq: int) -> Message | None:
        """See `Bus.get_message`."""
        return self._api.get_message(stream, {"seq": seq})

    def purge(self, stream: str, subject: str, *, below: int | None = None) -> None:
        """See `Bus.purge`."""
        limit = {} if below is None else {"seq": below}
        self._api.call(f"STREAM.PURGE.{stream}", {"filter": subject, **limit})

    def list_subjects(self, stream: str, filter_subject: str) -> list[str]:
        """See `Bus.list_subjects`."""
        found: list[str] = []
        while True:
            body = {"subjects_filter": filter_subject, "offset": len(found)}
            info = self._api.call(f"STREAM.INFO.{stream}", body) or {}
            page = info["state"].get("subjects") or {}
            found.extend(page)
            # The server returns at most 100,000 subjects at a time, and their total number.
            if not page or len(found) >= info.get("total", 0):
                return found

    def now(self) -> int:
        """See `Bus.now`."""
        return parse_rfc3339(self._api.info(f"STREAM.INFO.{VIDEOS}")["ts"])

    def count_after(self, stream: str, subject: str, after: int) -> int:
        """See `Bus.count_after`."""
        # A batch of one also returns how many messages follow (NATS ADR-31), and needs no consumer.
        body = {"seq": after + 1, "next_by_subj": subject, "batch": 1}
        message = self._api.direct_get(stream, body)
        return 0 if message is None else int(message.headers["Nats-Num-Pending"]) + 1

    def check(self) -> None:
        """See `Bus.check`."""
        self._api.info(f"CONSUMER.INFO.{TURNS}.{GENERATE_CONSUMER}")
        self.now()

    def check_writes(self) -> None:
        """See `Bus.check_writes`."""
        for stream in (REQUESTS, VIDEOS):
            self._api.check_writes(stream)

    def turn_source(self) -> Source:
        """See `Bus.turn_source`."""
        return PullConsumer(self._connection)

    def follow(
        self,
        stream: str,
        on_message: Callable[[Message], None],
        on_caught_up: Callable[[], None],
        on_stream_recreated: Callable[[], None],
        *,
        subject: str | None = None,
        after: int = 0,
    ) -> Callable[[], None]:
        """See `Bus.follow`."""
        follower = Follower(
            self._connection,
            stream=stream,
            subject=subject or f"kinora.{stream.lower()}.>",
            after=after,
            on_message=on_message,
            on_caught_up=on_caught_up,
            on_stream_recreated=on_stream_recreated,
        )
        try:
            follower.start()
        except NO_RESPONSE_ERRORS as problem:
            raise no_response() from problem
        return follower.stop

    def read_after(self, stream: str, subject: str, after: int, *, max_bytes: int) -> list[Message]:
        """See `Bus.read_after`."""
        first = {"seq": after + 1, "next_by_subj": subject}
        portion = {**first, "batch": MAX_PORTION_MESSAGES, "max_bytes": max_bytes}
        messages = self._api.direct_get_batch(stream, portion)
        if messages:
            return messages
        # A replica that lags behind has none either.
        message = self._api.get_message(stream, first)
        return [] if message is None else [message]

    def stream_end(self, stream: str) -> StreamEnd:
        """See `Bus.stream_end`."""
        info = self._api.info(f"STREAM.INFO.{stream}")
        if not is_from_leader(info):
            raise no_response()
        state = info["state"]
        return StreamEnd(
            info["created"],
            int(state["last_seq"]),
            parse_rfc3339(info["ts"]),
            int(state["messages"]),
            parse_rfc3339(state["first_ts"]),
            int(state["bytes"]),
            # -1 stands for none.
            limit if (limit := int(info["config"]["max_bytes"])) > 0 else None,
        )

    def last_seq(self, stream: str) -> int:
        """See `Bus.last_seq`."""
        return int(self._api.info(f"STREAM.INFO.{stream}")["state"]["last_seq"])

    def message_count(self, stream: str) -> int:
        """See `Bus.message_count`."""
        return int(self._api.info(f"STREAM.INFO.{stream}")["state"]["messages"])

    def watch(self, subject: str, on_message: Callable[[str], None]) -> Callable[[], None]:
        """See `Bus.watch`."""
        try:
            return watch(self._connection, subject, on_message)
        except NO_RESPONSE_ERRORS as problem:
            raise no_response() from problem

    def connected_for(self) -> float:
        """See `Bus.connected_for`."""
        return self._connection.connected_for()

    def close(self) -> None:
        """See `Bus.close`."""
        self._connection.close()
