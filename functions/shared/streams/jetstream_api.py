"""JetStream's API over request and reply.

NATS ADR-1 and ADR-31 define it (github.com/nats-io/nats-architecture-and-design).

nats-py hides what the protocol needs: the error codes, and timestamps to the nanosecond.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from email.parser import BytesHeaderParser
from typing import Any, Final

from nats.aio.msg import Msg

from functions.shared.errors import (
    KinoraError,
    NoAnswer,
    NotStored,
    OutcomeUnknown,
    QueueFull,
    SequenceConflict,
    TooLarge,
    Unavailable,
)
from functions.shared.streams.bus import Message
from functions.shared.streams.nats_connection import NO_RESPONSE_ERRORS, NatsConnection
from functions.shared.timestamps import parse_rfc3339

# Error codes of JetStream's API (server/errors.json of nats-server).
WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})
MESSAGE_NOT_FOUND: Final = 10037
STORE_FAILED: Final = 10077
# How a batch ends: after its last message, or without any.
BATCH_ENDS: Final = frozenset({"204", "404"})
PURGE_FAILED: Final = 10051

# No subject of Kinora: purging it removes nothing.
_NO_SUBJECT: Final = "kinora.none"
# The status line and the separators of headers count towards a message's size.
HEADER_OVERHEAD: Final = 512
# A response without data has the status 503: no server is responsible for the subject.
_NO_DATA: Final = b'{"error": {"code": 503}}'


class JetStreamApi:
    """Calls the API. Every method but `publish` raises `Unavailable` without a response."""

    def __init__(self, connection: NatsConnection) -> None:
        """Make all calls on `connection`."""
        self._connection = connection

    def call(
        self, name: str, body: Mapping[str, Any], *, absent: int | None = None
    ) -> dict[str, Any] | None:
        """The response to `$JS.API.<name>`; None if it is the error `absent`."""
        document: dict[str, Any] = json.loads(self._request(name, body).data or _NO_DATA)
        error = document.get("error")
        if error is None:
            return document
        if error.get("err_code") == absent:
            return None
        raise Unavailable(f"JetStream: {error.get('description', 'no answer')}", retry_after=2)

    def info(self, name: str) -> dict[str, Any]:
        """The response to a call without parameters, such as `STREAM.INFO.<stream>`."""
        return self.call(name, {}) or {}

    def check_writes(self, stream: str) -> None:
        """Return if the stream's store is intact; see `Bus.check_writes`.

        A purge that removes nothing writes nothing on a single server, and yet fails with the error
        that the store keeps. No other call reports it, and a publish is not answered at all.
        """
        body = {"filter": _NO_SUBJECT}
        if self.call(f"STREAM.PURGE.{stream}", body, absent=PURGE_FAILED) is None:
            raise NotStored(
                "NATS has stopped storing messages: a write to its disk failed. It needs room on "
                "the disk, and then a restart."
            )

    def get_message(self, stream: str, body: Mapping[str, Any]) -> Message | None:
        """Get a message from the stream's leader; None if there is none."""
        document = self.call(f"STREAM.MSG.GET.{stream}", body, absent=MESSAGE_NOT_FOUND)
        if document is None:
            return None
        message = document["message"]
        return Message(
            message["subject"],
            int(message["seq"]),
            parse_rfc3339(message["time"]),
            base64.b64decode(message.get("data", "")),
            _parse_headers(base64.b64decode(message.get("hdrs", ""))),
        )

    def direct_get(self, stream: str, body: Mapping[str, Any]) -> Message | None:
        """Get a message from any replica, which may be stale; None if there is none."""
        # An answer may be one of a batch, so NATS remembers who asked until that inbox is gone.
        answer = self._request(f"DIRECT.GET.{stream}", body, own_inbox=True)
        return _direct_message(answer) if _is_message(answer) else None

    def direct_get_batch(self, stream: str, body: Mapping[str, Any]) -> list[Message]:
        """Get a batch of messages (NATS ADR-31) from any replica, which may be stale."""
        payload = json.dumps(body).encode()
        try:
            answers = self._connection.request_many(
                f"$JS.API.DIRECT.GET.{stream}", payload, lambda answer: not _is_message(answer)
            )
        except NO_RESPONSE_ERRORS as problem:
            raise no_response() from problem
        if (answers[-1].headers or {}).get("Status") not in BATCH_ENDS:
            raise no_response()
        return [_direct_message(answer) for answer in answers[:-1]]

    def _request(self, name: str, body: Mapping[str, Any], *, own_inbox: bool = False) -> Any:
        payload = json.dumps(body).encode()
        try:
            return self._connection.request(f"$JS.API.{name}", payload, own_inbox=own_inbox)
        except NO_RESPONSE_ERRORS as problem:
            raise no_response() from problem

    def publish(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> int:
        """Publish a message, and wait for the acknowledgement; see `Bus.publish` for the errors.

        Returns:
            The message's sequence.
        """
        size = len(payload) + HEADER_OVERHEAD + sum(len(n) + len(v) for n, v in headers.items())
        try:
            limit = self._connection.max_payload()
            if size > limit:
                raise TooLarge(f"The event has about {size} bytes; NATS accepts {limit}")
            answer = self._connection.request(subject, payload, dict(headers))
        except NO_RESPONSE_ERRORS as problem:
            raise OutcomeUnknown(
                "NATS did not confirm the message in time. Try again.", retry_after=2
            ) from problem
        document = json.loads(answer.data or _NO_DATA)
        if "error" in document:
            raise _publish_error(document["error"])
        return int(document["seq"])


def no_response() -> NoAnswer:
    """The error for a call that got no response."""
    return NoAnswer(retry_after=2)


def _is_message(answer: Msg) -> bool:
    return "Nats-Sequence" in (answer.headers or {})


def _direct_message(answer: Msg) -> Message:
    headers = answer.headers or {}
    return Message(
        headers["Nats-Subject"],
        int(headers["Nats-Sequence"]),
        parse_rfc3339(headers["Nats-Time-Stamp"]),
        answer.data,
        headers,
    )


def _parse_headers(raw: bytes) -> dict[str, str]:
    """The headers of a stored message: the line `NATS/1.0`, then fields as in e-mail."""
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
