"""What becomes of one delivered request: the decisions of `dispatch`, one step each."""

from __future__ import annotations

import logging
import random
from collections import Counter
from typing import Final

from functions.dispatch.sink import Ending, Sink
from functions.shared.errors import InvalidRequest, KinoraError, Unavailable
from functions.shared.streams.bus import Delivery, Message
from functions.shared.streams.cloudevents import read_nats
from functions.shared.streams.ledger import Ledger, LostRace, Snapshot
from functions.shared.streams.validation import read_request
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import format_rfc3339
from functions.shared.video.events import (
    MAX_ATTEMPTS,
    EventName,
    Failed,
    Failure,
    Progressed,
    carried_over,
)
from functions.shared.video.profiles import Profile

log = logging.getLogger(__name__)

# A request that waits for its turn again holds one of the slots, so it never waits longer.
MAX_DELAY: Final = 10.0
# A programming error does not go away, but it may be one replica's in the middle of a rollout.
MAX_STUMBLES: Final = 5
# Of a prompt that can't be used, enough to recognise it by.
ECHO: Final = 200


class Deliveries:
    """Settles deliveries. Safe to use from any thread."""

    def __init__(self, ledger: Ledger, profile: Profile, sink: Sink) -> None:
        """Read and change videos in `ledger`, and have them made behind `sink`."""
        self._ledger = ledger
        self._profile = profile
        self._sink = sink
        self._stumbles: Counter[int] = Counter()

    def handle(self, delivery: Delivery) -> None:
        """Bring one request as far as it can be brought now, and settle its delivery.

        Raises:
            Unavailable: NATS does not answer; the request is delivered again by itself.
        """
        message = delivery.message
        try:
            key = VideoKey.from_subject(message.subject)
        except InvalidRequest as problem:
            log.warning("dropped: %s", problem.message)
            delivery.term(problem.message)
            return
        snapshot = self._ledger.read(key)
        reason = self._why_invalid(message) if snapshot.queued else None
        left = self._ledger.lease_left(snapshot)
        if snapshot.terminal:
            delivery.ack()
        elif reason is not None:
            if self._failed(snapshot, delivery, reason):
                delivery.term(reason.message)
        elif left > 0:
            delivery.nak(min(MAX_DELAY, left))
        elif snapshot.attempt >= MAX_ATTEMPTS:
            if self._failed(snapshot, delivery, _last_reason(snapshot)):
                delivery.ack()
        else:
            self._send(snapshot, delivery)

    def stumble(self, delivery: Delivery, problem: Exception) -> None:
        """Settle a delivery over which this program stumbled: again, but not for ever.

        Held back again and again, a few such requests would take up every slot.
        """
        seq = delivery.message.seq
        self._stumbles[seq] += 1
        if self._stumbles[seq] < MAX_STUMBLES:
            delivery.nak(MAX_DELAY)
            return
        try:
            snapshot = self._ledger.read(VideoKey.from_subject(delivery.message.subject))
            failure = Failure(code="internal_error", message=KinoraError().message)
            if snapshot.terminal or self._failed(snapshot, delivery, failure):
                delivery.term(type(problem).__name__)
        except Unavailable:
            raise  # without `failed` in the stream, nobody would ever hear of it again
        except Exception:
            log.exception("%s is given up", delivery.message.subject)
            delivery.term(type(problem).__name__)
        del self._stumbles[seq]

    def _why_invalid(self, message: Message) -> Failure | None:
        try:
            read_request(message, self._profile)
        except InvalidRequest as problem:
            return Failure(code=problem.code, message=problem.message)
        return None

    def _send(self, snapshot: Snapshot, delivery: Delivery) -> None:
        answer = self._sink.send(delivery.message)
        if answer.failure is not None:
            # A worker with another idea of what is valid, such as another profile.
            if self._failed(snapshot, delivery, answer.failure):
                delivery.ack()
        elif answer.ending is Ending.BUSY:
            delivery.nak(random.uniform(1, 5))  # noqa: S311 - jitter is no secret
        elif self._ledger.read(snapshot.key).terminal:
            # However the response ended: a time-out on the way looks like a clean 200.
            delivery.ack()
        else:
            delivery.nak(random.uniform(1, MAX_DELAY))  # noqa: S311 - jitter is no secret

    def _failed(self, snapshot: Snapshot, delivery: Delivery, error: Failure) -> bool:
        """Publish `failed`; False, with the delivery given back, if the video went on instead."""
        known = carried_over(snapshot.data) or {"created_at": format_rfc3339(delivery.message.time)}
        if not known.get("request"):
            known["prompt"] = _prompt_of(delivery.message)
        event = VideoEvent.new(
            snapshot.key, EventName.FAILED, Failed(**known, error=error), source=Source.DISPATCH
        )
        try:
            self._ledger.publish(snapshot, event)
        except LostRace as lost:
            log.info("%s became %s instead", snapshot.key.video_id, lost.newest.name)
            delivery.nak(1)
            return False
        log.info("%s failed: %s", snapshot.key.video_id, error.message)
        return True


def _last_reason(snapshot: Snapshot) -> Failure:
    """Why the last attempt ended: what its worker said, or that it said nothing any more."""
    if isinstance(snapshot.data, Progressed) and snapshot.data.error is not None:
        return snapshot.data.error
    return Failure(
        code="worker_lost",
        message=f"The worker was lost {snapshot.attempt} times while it made this video",
    )


def _prompt_of(message: Message) -> str | None:
    """The start of the prompt of a request that is not valid, if it has one."""
    try:
        prompt = read_nats(message.headers, message.data).data["prompt"]
    except (InvalidRequest, KeyError, TypeError):
        return None
    if not isinstance(prompt, str):
        return None
    # A lone surrogate is one way not to be valid, and could not be written again.
    return prompt[:ECHO].encode(errors="replace").decode()
