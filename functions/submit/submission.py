"""Publishing a request, so that a caller who was answered knows what became of it."""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from functions.shared.backoff import Backoff
from functions.shared.errors import (
    IdempotencyKeyReused,
    InvalidRequest,
    KinoraError,
    OutcomeUnknown,
    QueueFull,
    SequenceConflict,
    Unavailable,
    VideoDeleted,
)
from functions.shared.streams.bus import Bus, Message
from functions.shared.streams.cloudevents import STRUCTURED
from functions.shared.streams.ledger import Ledger, Snapshot
from functions.shared.streams.validation import StoredRequest, read_request
from functions.shared.subjects import REQUESTS, VideoKey
from functions.shared.timestamps import NANOSECONDS, format_rfc3339
from functions.shared.video.events import VideoData
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import VideoRequest
from functions.submit.clock import StreamClock
from functions.submit.prepared import Prepared
from functions.submit.queue_limits import Room
from functions.submit.unconfirmed import Burial

HEADERS = {"content-type": STRUCTURED}


def new_video_id() -> str:
    """An id that nobody else has."""
    return f"video_{uuid.uuid4().hex}"


def derived_video_id(account: str, *parts: str) -> str:
    """The id that the same account and parts always lead to."""
    digest = hashlib.sha256("\0".join((account, *parts)).encode()).hexdigest()
    return f"video_{digest[:32]}"


@dataclass(frozen=True)
class Accepted:
    """A request that is in the stream: as it lies there, and what has become of it so far.

    `request.created_at` is exact to the second, which is what the API shows.
    """

    request: StoredRequest | None
    snapshot: Snapshot


class Submissions:
    """Puts requests into the stream. Safe to use from any thread."""

    def __init__(
        self, bus: Bus, ledger: Ledger, profile: Profile, room: Room, *, deadline: float
    ) -> None:
        """Publish to `bus`, and stop trying `deadline` seconds after a call began."""
        self._bus = bus
        self._ledger = ledger
        self._profile = profile
        self._room = room
        self._deadline = deadline
        self._clock = StreamClock(bus)
        self._burial = Burial(bus, ledger)

    def submit(
        self, key: VideoKey, request: VideoRequest, *, repeatable: bool, digest: str | None = None
    ) -> Accepted:
        """Publish `request` as the video `key`, once.

        Args:
            key: whose video, and its id.
            request: what was asked for, checked for its form.
            repeatable: the id was derived from something of the caller's, so an earlier request
                with it is either the same one, sent again, or a mistake.
            digest: of what the caller sent, if that is not `request`.

        Raises:
            InvalidRequest, TooLarge: as for `prepare`.
            IdempotencyKeyReused, VideoDeleted: there was another video with this id.
            QueueFull: too many requests wait already.
            OutcomeUnknown: NATS did not confirm. Unless `repeatable`, the request will not be run.
        """
        prepared = self.prepare(key, request, digest)
        if repeatable:
            snapshot = self._ledger.read(key)
            if not snapshot.queued:
                return self._same(snapshot, prepared.digest)
        self._room.take(key.account)
        return self._store(prepared, repeatable=repeatable)

    def prepare(self, key: VideoKey, request: VideoRequest, digest: str | None = None) -> Prepared:
        """See `Prepared.of`."""
        return Prepared.of(key, request, self._profile, digest)

    def submit_all(self, account: str, batch: Sequence[Prepared]) -> None:
        """Publish the whole of a batch of repeatable requests that `find` does not know.

        Raises:
            QueueFull: there is no room for all of it. Nothing was published.
            InvalidEvent: it asks for more videos than may ever wait. Nothing was published.
            Unavailable: part of it may be there; the caller can send the same again.
        """
        if batch:
            self._room.take(account, len(batch))
        for number, prepared in enumerate(batch):
            try:
                self._store(prepared, repeatable=True)
            except QueueFull as full:
                if number == 0:
                    raise
                raise Unavailable(
                    "The queue has reached its size limit, and a part of the batch is stored. Send "
                    "it again later.",
                    retry_after=full.retry_after,
                ) from full

    def _store(self, prepared: Prepared, *, repeatable: bool) -> Accepted:
        key = prepared.event.key
        try:
            stored = self._publish(prepared)
        except Unavailable:
            if not repeatable:
                # The caller hears that it failed, so it must not run: not now and not later.
                self._burial.bury(key)
            raise
        if stored.event_id != prepared.event.id and stored.request_hash != prepared.digest:
            raise IdempotencyKeyReused
        return Accepted(stored, Snapshot(key))

    def finish(self, seconds: float) -> None:
        """Before the process ends: undo what callers were told has failed."""
        self._burial.finish(seconds)

    def find(self, key: VideoKey, digest: str) -> Accepted | None:
        """What an earlier, equal request with this repeatable id led to; None if there is none.

        Raises:
            IdempotencyKeyReused, VideoDeleted: there was another video with this id.
        """
        snapshot = self._ledger.read(key)
        if not snapshot.queued:
            return self._same(snapshot, digest)
        message = self._bus.get_last_message(REQUESTS, key.request_subject, leader=True)
        if message is None:
            return None
        stored = self._found(message)
        if stored.request_hash != digest:
            raise IdempotencyKeyReused
        return Accepted(stored, snapshot)

    def _same(self, snapshot: Snapshot, digest: str) -> Accepted:
        if snapshot.deleted:
            raise VideoDeleted
        if not isinstance(snapshot.data, VideoData) or snapshot.data.request_hash != digest:
            raise IdempotencyKeyReused
        return Accepted(None, snapshot)

    def _publish(self, prepared: Prepared) -> StoredRequest:
        """Publish as the first on its subject, until it is known what lies there."""
        event, subject = prepared.event, prepared.event.key.request_subject
        end, backoff = time.monotonic() + self._deadline, Backoff(0.02, 0.5)
        doubt: KinoraError | None = None
        while True:
            try:
                sent = time.monotonic()
                seq = self._bus.publish(subject, prepared.payload, expected=0, headers=HEADERS)
                created = format_rfc3339(self._created(seq, sent))
                return StoredRequest(
                    event.key, seq, created, event.id, prepared.resolved, prepared.digest
                )
            except SequenceConflict as problem:
                found = self._bus.get_last_message(REQUESTS, subject, leader=True)
                if found is not None:
                    return self._found(found)
                # Another publish is in process, or the request was deleted since.
                doubt = doubt or problem
            except KinoraError as problem:
                # Once an answer is missing, a later refusal does not tell what became of the first.
                if doubt is None and not isinstance(problem, OutcomeUnknown):
                    raise
                doubt = problem
            pause = next(backoff)
            if time.monotonic() + pause > end:
                raise OutcomeUnknown(
                    "NATS did not confirm the request in time. Try again.", retry_after=2
                ) from doubt
            time.sleep(pause)

    def _created(self, seq: int, sent: float) -> int:
        """When the message was stored, in nanoseconds; only the second is exact."""
        second = self._clock.second(sent, time.monotonic())
        if second is not None:
            return second * NANOSECONDS
        # The request is accepted: from here on nothing may turn that into an error.
        with contextlib.suppress(Unavailable):
            message = self._bus.get_message(REQUESTS, seq)
            if message is not None:
                return message.time
        return time.time_ns()

    def _found(self, message: Message) -> StoredRequest:
        try:
            return read_request(message, self._profile)
        except InvalidRequest as problem:
            # Somebody published this id directly, with something that is no request.
            raise IdempotencyKeyReused from problem
