"""The real `Bus`: JetStream's API, in its own words.

Requests are written out as the API defines them (ADR-1, ADR-31), because nats-py hides what the
protocol needs: the error codes, and timestamps to the nanosecond.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from email.parser import BytesHeaderParser
from typing import Any, Final

from functions.shared.errors import (
    KinoraError,
    OutcomeUnknown,
    QueueFull,
    SequenceConflict,
    TooLarge,
    Unavailable,
)
from functions.shared.streams.bus import Message, RequestSource
from functions.shared.streams.consumers import GENERATE_CONSUMER, PullConsumer, watch
from functions.shared.streams.follower import Follower
from functions.shared.streams.nats_connection import NO_RESPONSE_ERRORS, NatsConnection
from functions.shared.subjects import REQUESTS, VIDEOS, subject_filters
from functions.shared.timestamps import parse_rfc3339

# JetStream API error codes (server/errors.json of nats-server).
WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})
MESSAGE_NOT_FOUND: Final = 10037
STORE_FAILED: Final = 10077

# Room for the status line and the separators of headers, which count into a message's size.
HEADER_ROOM: Final = 512


class JetStream:
    """See `Bus` for what each method promises."""

    def __init__(self, url: str) -> None:
        """Connect lazily to `url` (`nats://host:port`, several separated by commas)."""
        self._connection = NatsConnection(url)

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
        size = len(payload) + HEADER_ROOM + sum(len(n) + len(v) for n, v in fields.items())
        try:
            limit = self._connection.max_payload()
            if size > limit:
                raise TooLarge(f"The event is about {size} bytes; NATS takes {limit}")
            answer = self._connection.request(subject, payload, fields)
        except NO_RESPONSE_ERRORS as problem:
            raise OutcomeUnknown(
                "NATS did not confirm the message in time. Try again.", retry_after=2
            ) from problem
        document = json.loads(answer.data or b'{"error": {"code": 503}}')
        if "error" in document:
            raise _publish_error(document["error"])
        return int(document["seq"])

    def get_last_message(self, stream: str, subject: str, *, leader: bool) -> Message | None:
        """See `Bus.get_last_message`."""
        if leader:
            return self._get(stream, {"last_by_subj": subject})
        body = json.dumps({"last_by_subj": subject}).encode()
        try:
            answer = self._connection.request(f"$JS.API.DIRECT.GET.{stream}", body)
        except NO_RESPONSE_ERRORS as problem:
            raise _away() from problem
        headers = answer.headers or {}
        if "Nats-Sequence" not in headers:
            return None
        return Message(
            headers["Nats-Subject"],
            int(headers["Nats-Sequence"]),
            parse_rfc3339(headers["Nats-Time-Stamp"]),
            answer.data,
            headers,
        )

    def get_message(self, stream: str, seq: int) -> Message | None:
        """See `Bus.get_message`."""
        return self._get(stream, {"seq": seq})

    def _get(self, stream: str, body: Mapping[str, Any]) -> Message | None:
        document = self._call(f"STREAM.MSG.GET.{stream}", body, absent=MESSAGE_NOT_FOUND)
        if document is None:
            return None
        message = document["message"]
        return Message(
            message["subject"],
            int(message["seq"]),
            parse_rfc3339(message["time"]),
            base64.b64decode(message.get("data", "")),
            _headers(base64.b64decode(message.get("hdrs", ""))),
        )

    def purge(self, stream: str, subject: str, *, below: int | None = None) -> None:
        """See `Bus.purge`."""
        limit = {} if below is None else {"seq": below}
        self._call(f"STREAM.PURGE.{stream}", {"filter": subject, **limit})

    def list_subjects(self, stream: str, filter_subject: str) -> list[str]:
        """See `Bus.list_subjects`."""
        found: list[str] = []
        while True:
            body = {"subjects_filter": filter_subject, "offset": len(found)}
            info = self._call(f"STREAM.INFO.{stream}", body) or {}
            page = info["state"].get("subjects") or {}
            found.extend(page)
            # The server answers with at most 100,000 at a time, and says how many there are.
            if not page or len(found) >= info.get("total", 0):
                return found

    def now(self) -> int:
        """See `Bus.now`."""
        return parse_rfc3339(self._answer(f"STREAM.INFO.{VIDEOS}")["ts"])

    def backlog(self) -> int:
        """See `Bus.backlog`."""
        info = self._answer(f"CONSUMER.INFO.{REQUESTS}.{GENERATE_CONSUMER}")
        return int(info["num_pending"]) + int(info["num_ack_pending"])

    def undelivered(self, account: str) -> int:
        """See `Bus.undelivered`."""
        info = self._answer(f"CONSUMER.INFO.{REQUESTS}.{GENERATE_CONSUMER}")
        own, _ = subject_filters(account, None)
        # A batch of one tells how many follow it (ADR-31), and costs no consumer.
        body = {"seq": info["delivered"]["stream_seq"] + 1, "next_by_subj": own, "batch": 1}
        try:
            answer = self._connection.request(
                f"$JS.API.DIRECT.GET.{REQUESTS}", json.dumps(body).encode()
            )
        except NO_RESPONSE_ERRORS as problem:
            raise _away() from problem
        headers = answer.headers or {}
        return int(headers["Nats-Num-Pending"]) + 1 if "Nats-Num-Pending" in headers else 0

    def check(self) -> None:
        """See `Bus.check`."""
        self.backlog()
        self.now()

    def _answer(self, call: str) -> dict[str, Any]:
        return self._call(call, {}) or {}

    def _call(
        self, call: str, body: Mapping[str, Any], *, absent: int | None = None
    ) -> dict[str, Any] | None:
        """Call the API; None if it answers with the error `absent`."""
        try:
            answer = self._connection.request(f"$JS.API.{call}", json.dumps(body).encode())
        except NO_RESPONSE_ERRORS as problem:
            raise _away() from problem
        document: dict[str, Any] = json.loads(answer.data or b'{"error": {"code": 503}}')
        error = document.get("error")
        if error is None:
            return document
        if error.get("err_code") == absent:
            return None
        raise Unavailable(f"JetStream: {error.get('description', 'no answer')}", retry_after=2)

    def request_source(self) -> RequestSource:
        """See `Bus.request_source`."""
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
            raise _away() from problem
        return follower.stop

    def last_seq(self, stream: str) -> int:
        """See `Bus.last_seq`."""
        return int(self._answer(f"STREAM.INFO.{stream}")["state"]["last_seq"])

    def watch(self, subject: str, on_message: Callable[[str], None]) -> Callable[[], None]:
        """See `Bus.watch`."""
        try:
            return watch(self._connection, subject, on_message)
        except NO_RESPONSE_ERRORS as problem:
            raise _away() from problem

    def connected_for(self) -> float:
        """See `Bus.connected_for`."""
        return self._connection.connected_for()

    def close(self) -> None:
        """See `Bus.close`."""
        self._connection.close()


def _away() -> Unavailable:
    return Unavailable("NATS does not answer. Try again.", retry_after=2)


def _headers(raw: bytes) -> dict[str, str]:
    """The headers of a stored message: a line `NATS/1.0`, and then as in mail."""
    _, _, fields = raw.partition(b"\r\n")
    return {str(name): str(value) for name, value in BytesHeaderParser().parsebytes(fields).items()}


def _publish_error(error: Mapping[str, Any]) -> KinoraError:
    code, description = error.get("err_code"), error.get("description", "no answer")
    if code in WRONG_LAST_SEQUENCE:
        return SequenceConflict()
    if code == STORE_FAILED and "maximum" in description:
        return QueueFull("The queue has reached its size limit. Try again later.", retry_after=60)
    if error.get("code") == Unavailable.status:
        return OutcomeUnknown(f"JetStream: {description}. Try again.", retry_after=2)
    return KinoraError(f"JetStream refused the message: {description}")
