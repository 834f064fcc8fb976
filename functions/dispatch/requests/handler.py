"""Decides about one delivered request: acknowledge, redeliver, fail the video, or send it."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import asdict
from typing import Final

from structlog.contextvars import bound_contextvars

from functions.dispatch.dispatcher import MAX_REDELIVERY_DELAY, redelivery_delay
from functions.dispatch.requests.sink import RequestSink, SinkOutcome, SinkResponse
from functions.shared.errors import InvalidRequest, KinoraError, Unavailable
from functions.shared.request_ids import LOG_FIELD, request_id, request_id_of
from functions.shared.streams.bus import Delivery, Message
from functions.shared.streams.cloudevents import ReceivedEvent, read_nats
from functions.shared.streams.first_event import known_of, prompt_excerpt, working_for
from functions.shared.streams.ledger import Ledger, LostRace
from functions.shared.streams.validation import read_request_event
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.video.events import (
    MAX_ATTEMPTS,
    WORKER_LOST,
    EventName,
    Failed,
    Failure,
    Progressed,
    carried_over,
)
from functions.shared.video.profiles import Profile

log = logging.getLogger(__name__)

# A programming error is permanent, but during a rollout it may be one replica's alone.
MAX_INTERNAL_ERRORS: Final = 5
# Longest pause before a request that no replica took is sent again.
MAX_BUSY_DELAY: Final = 5.0


class RequestHandler:
    """Settles deliveries of requests. Safe to use from any thread."""

    def __init__(self, ledger: Ledger, profile: Profile, sink: RequestSink) -> None:
        """Validate requests against `profile`, and send them to `sink`."""
        self._ledger = ledger
        self._profile = profile
        self._sink = sink
        self._internal_errors: Counter[int] = Counter()

    def handle(self, delivery: Delivery) -> None:
        """Take one request as far as it can go now, and settle its delivery.

        Raises:
            InvalidRequest: no event can be decoded, though a worker has claimed the video.
            Unavailable: NATS does not answer; the request is redelivered after `ack_wait`.
        """
        key = VideoKey.from_subject(delivery.message.subject)
        with bound_contextvars(**asdict(key)):
            self._settle(delivery, key)

    def _settle(self, delivery: Delivery, key: VideoKey) -> None:
        message = delivery.message
        snapshot = self._ledger.read(key)
        event, invalid = self._validate(message) if snapshot.queued else (None, None)
        lease_left = self._ledger.lease_left(snapshot)
        if snapshot.terminal:
            delivery.ack()
        elif invalid is not None:
            if self._publish_failed(snapshot, delivery, invalid):
                delivery.term(invalid.message)
        elif lease_left > 0:
            delivery.nak(min(MAX_REDELIVERY_DELAY, lease_left))
        elif snapshot.attempt >= MAX_ATTEMPTS:
            if self._publish_failed(snapshot, delivery, _last_failure(snapshot)):
                delivery.ack()
        else:
            # A claimed video keeps the settings in its events; the worker validates the rest.
            self._send(snapshot, delivery, event or read_nats(message.headers, message.data))

    def handle_failure(self, delivery: Delivery, problem: Exception) -> None:
        """Settle a delivery after an internal error: redeliver it, but only a few times.

        Redelivered for ever, a few such requests would hold every slot.

        Raises:
            Unavailable: NATS does not answer; the request is redelivered after `ack_wait`.
        """
        seq = delivery.message.seq
        self._internal_errors[seq] += 1
        if self._internal_errors[seq] < MAX_INTERNAL_ERRORS:
            delivery.nak(MAX_REDELIVERY_DELAY)
            return
        try:
            snapshot = self._ledger.read(VideoKey.from_subject(delivery.message.subject))
            failure = Failure(code="internal_error", message=KinoraError().message)
            if snapshot.terminal or self._publish_failed(snapshot, delivery, failure):
                delivery.term(type(problem).__name__)
        except Unavailable:
            raise  # without `failed` in the stream, the video would stay queued for ever
        except Exception:
            log.exception("%s is given up", delivery.message.subject)
            delivery.term(type(problem).__name__)
        del self._internal_errors[seq]

    def _validate(self, message: Message) -> tuple[ReceivedEvent, None] | tuple[None, Failure]:
        """Return the event of a valid request, or the reason why the request is invalid."""
        try:
            _, event = read_request_event(message, self._profile)
        except InvalidRequest as problem:
            return None, Failure(code=problem.code, message=problem.message)
        return event, None

    def _send(self, snapshot: Snapshot, delivery: Delivery, event: ReceivedEvent) -> None:
        # Of a request that another program published, everything that follows has an id as well.
        sent_for = request_id_of(event.attributes) or request_id()
        with bound_contextvars(**{LOG_FIELD: sent_for}):
            log.info("sending the request to generate, attempt %d", snapshot.attempt + 1)
            response = self._sink.send_request(delivery.message, event)
            self._settle_sent(snapshot, delivery, response)

    def _settle_sent(self, snapshot: Snapshot, delivery: Delivery, response: SinkResponse) -> None:
        if response.failure is not None:
            # The worker validates differently, for example against another profile.
            if self._publish_failed(snapshot, delivery, response.failure):
                delivery.ack()
        elif response.outcome is SinkOutcome.BUSY:
            delivery.nak(redelivery_delay(MAX_BUSY_DELAY))
        elif self._ledger.read(snapshot.key).terminal:
            # Only the stream decides: a timeout at a proxy looks like a clean 200.
            delivery.ack()
        else:
            delivery.nak(redelivery_delay())

    def _publish_failed(self, snapshot: Snapshot, delivery: Delivery, error: Failure) -> bool:
        """Publish `failed`. If another event was first, return the delivery, and False."""
        fields = carried_over(snapshot.data) or known_of(delivery.message, self._profile)
        if not fields.get("request"):
            fields["prompt"] = prompt_excerpt(delivery.message)
        event = VideoEvent.new(
            snapshot.key, EventName.FAILED, Failed(**fields, error=error), source=Source.DISPATCH
        )
        with working_for(delivery.message):
            try:
                self._ledger.publish(snapshot, event)
            except LostRace as lost:
                log.info("%s was published first", lost.newest.name)
                delivery.nak(1)
                return False
            log.info("the video has failed: %s", error.message)
        return True


def _last_failure(snapshot: Snapshot) -> Failure:
    """Why the last attempt failed: its worker's reason, or that the worker was lost."""
    if isinstance(snapshot.data, Progressed) and snapshot.data.error is not None:
        return snapshot.data.error
    return Failure(
        code=WORKER_LOST,
        message=f"The worker was lost {snapshot.attempt} times while it rendered this video",
    )
