"""Publishing a request until the outcome is known."""

from __future__ import annotations

import contextlib
import time

from functions.shared.backoff import Backoff
from functions.shared.errors import (
    IdempotencyKeyReused,
    InvalidRequest,
    KinoraError,
    OutcomeUnknown,
    SequenceConflict,
    Unavailable,
)
from functions.shared.streams.bus import Bus, Message
from functions.shared.streams.cloudevents import STRUCTURED
from functions.shared.streams.validation import StoredRequest, read_request
from functions.shared.subjects import REQUESTS
from functions.shared.timestamps import NANOSECONDS, format_rfc3339
from functions.shared.video.profiles import Profile
from functions.submit.clock import StreamClock
from functions.submit.prepared_request import PreparedRequest
from functions.submit.stored_request import find_request
from functions.submit.stream_writes import StreamWrites

HEADERS = {"content-type": STRUCTURED}


class RequestPublisher:
    """Publishes requests, each as the only message on its subject. Safe to use from any thread."""

    def __init__(
        self, bus: Bus, profile: Profile, writes: StreamWrites, *, deadline: float
    ) -> None:
        """Stop retrying `deadline` seconds after a call started, or when `writes` says so."""
        self._bus = bus
        self._profile = profile
        self._writes = writes
        self._deadline = deadline
        self._clock = StreamClock(bus)

    def publish(self, prepared: PreparedRequest) -> StoredRequest:
        """Publish a request, retried until the outcome is known.

        Returns:
            What is stored on the subject: this request, or one that was there before.

        Raises:
            IdempotencyKeyReused: another publisher stored something there that is no request.
            OutcomeUnknown: the deadline passed first, or NATS has stopped storing messages. The
                request may be stored, now or later.
            KinoraError: NATS refused the request, and nothing was stored.
        """
        event = prepared.event
        end, backoff = time.monotonic() + self._deadline, Backoff(0.02, 0.5)
        doubt: KinoraError | None = None
        while True:
            try:
                sent = time.monotonic()
                with self._writes.publishing():
                    seq = self._bus.publish(
                        event.key.request_subject, prepared.payload, expected=0, headers=HEADERS
                    )
                created = format_rfc3339(self._stored_at(seq, sent))
                return StoredRequest(
                    event.key, seq, created, event.id, prepared.resolved, prepared.request_hash
                )
            except SequenceConflict as problem:
                found = find_request(self._bus, event.key)
                if found is not None:
                    return self.read(found)
                # Another publish is in flight, or the request was deleted since.
                doubt = doubt or problem
            except KinoraError as problem:
                # After an unknown outcome, a refusal says nothing about the earlier try.
                if doubt is None and not isinstance(problem, OutcomeUnknown):
                    raise
                doubt = problem
            pause = next(backoff)
            if self._writes.stopped.is_set() or time.monotonic() + pause > end:
                raise OutcomeUnknown(
                    "NATS did not confirm the request in time. Try again."
                ) from doubt
            time.sleep(pause)

    def read(self, message: Message) -> StoredRequest:
        """The request in a message of REQUESTS that has the caller's idempotency key.

        Raises:
            IdempotencyKeyReused: it is no valid request, so another publisher stored it.
        """
        try:
            return read_request(message, self._profile)
        except InvalidRequest as problem:
            raise IdempotencyKeyReused from problem

    def _stored_at(self, seq: int, sent: float) -> int:
        """When the message was stored, in nanoseconds; exact to the second."""
        second = self._clock.second(sent, time.monotonic())
        if second is not None:
            return second * NANOSECONDS
        # The request is accepted: nothing may turn that into an error any more.
        with contextlib.suppress(Unavailable):
            message = self._bus.get_message(REQUESTS, seq)
            if message is not None:
                return message.time
        return time.time_ns()
