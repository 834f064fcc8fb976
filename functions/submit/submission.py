"""Publishing a request, so that a caller who was answered knows what became of it."""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from dataclasses import dataclass

from functions.shared.bus import Bus, Message
from functions.shared.errors import (
    IdempotencyKeyReused,
    InvalidRequest,
    KinoraError,
    OutcomeUnknown,
    SequenceConflict,
    TooLarge,
    Unavailable,
    VideoDeleted,
)
from functions.shared.events import STRUCTURED, VideoEvent
from functions.shared.ledger import Ledger, Snapshot
from functions.shared.profiles import Profile
from functions.shared.requested import MAX_EVENT_BYTES, StoredRequest, read_request, request_hash
from functions.shared.requests import ResolvedRequest, VideoRequest
from functions.shared.subjects import REQUESTS, VideoKey
from functions.shared.timestamps import NANOSECONDS, format_rfc3339
from functions.shared.videos import EventName, Requested, VideoData
from functions.submit.burial import SOURCE, Burial
from functions.submit.clock import StreamClock
from functions.submit.room import Room

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

    def take_places(self, account: str, places: int) -> None:
        """Make sure that so many new requests of `account` can be submitted with `placed`.

        Raises:
            QueueFull: too many requests wait already.
            InvalidEvent: so many never fit.
        """
        if places:
            self._room.take(account, places)

    def submit(
        self,
        key: VideoKey,
        request: VideoRequest,
        *,
        repeatable: bool,
        digest: str | None = None,
        placed: bool = False,
    ) -> Accepted:
        """Publish `request` as the video `key`, once.

        Args:
            key: whose video, and its id.
            request: what was asked for, checked for its form.
            repeatable: the id was derived from something of the caller's, so an earlier request
                with it is either the same one, sent again, or a mistake.
            digest: of what the caller sent, by which it is recognised when it comes again; that of
                `request` if that is what was sent.
            placed: it has its place from `take_places`.

        Raises:
            InvalidRequest: Mochi can't make it.
            IdempotencyKeyReused, VideoDeleted: there was another video with this id.
            QueueFull: too many requests wait already.
            OutcomeUnknown: NATS did not confirm. Unless `repeatable`, the request will not be run.
        """
        resolved = ResolvedRequest.of(request, self._profile, key.account, key.video_id)
        digest = digest or request_hash(request)
        if repeatable:
            snapshot = self._ledger.read(key)
            if snapshot.name is not None:
                return self._same(snapshot, digest)
        if not placed:
            self._room.take(key.account)
        data = Requested(**resolved.model_dump(), request_hash=digest)
        event = VideoEvent.new(key, EventName.REQUESTED, data, source=SOURCE)
        payload = event.to_bytes()
        if len(payload) > MAX_EVENT_BYTES:
            raise TooLarge(
                f"The request has {len(payload)} bytes; at most {MAX_EVENT_BYTES} are taken: "
                "shorten prompt, negative_prompt or metadata"
            )
        try:
            stored = self._publish(event, payload, resolved, digest)
        except Unavailable:
            if not repeatable:
                # The caller hears that it failed, so it must not run: not now and not later.
                self._burial.bury(key)
            raise
        if stored.event_id != event.id and stored.request_hash != digest:
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
        if snapshot.name is not None:
            return self._same(snapshot, digest)
        message = self._bus.newest(REQUESTS, key.request, leader=True)
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

    def _publish(
        self, event: VideoEvent, payload: bytes, resolved: ResolvedRequest, digest: str
    ) -> StoredRequest:
        """Publish as the first on its subject, until it is known what lies there."""
        subject = event.key.request
        end, pause = time.monotonic() + self._deadline, 0.02
        doubt: KinoraError | None = None
        while True:
            try:
                sent = time.monotonic()
                seq = self._bus.publish(subject, payload, expected=0, headers=HEADERS)
                created = format_rfc3339(self._created(seq, sent))
                return StoredRequest(event.key, seq, created, event.id, resolved, digest)
            except SequenceConflict as problem:
                found = self._bus.newest(REQUESTS, subject, leader=True)
                if found is not None:
                    return self._found(found)
                # Another publish is in process, or the request was deleted since.
                doubt = doubt or problem
            except KinoraError as problem:
                # Once an answer is missing, a later refusal does not tell what became of the first.
                if doubt is None and not isinstance(problem, OutcomeUnknown):
                    raise
                doubt = problem
            if time.monotonic() + pause > end:
                raise OutcomeUnknown(
                    "NATS did not confirm the request in time. Try again.", retry_after=2
                ) from doubt
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _created(self, seq: int, sent: float) -> int:
        """When the message was stored, in nanoseconds; only the second is exact."""
        second = self._clock.second(sent, time.monotonic())
        if second is not None:
            return second * NANOSECONDS
        # The request is accepted: from here on nothing may turn that into an error.
        with contextlib.suppress(Unavailable):
            message = self._bus.at(REQUESTS, seq)
            if message is not None:
                return message.time
        return time.time_ns()

    def _found(self, message: Message) -> StoredRequest:
        try:
            return read_request(message, self._profile)
        except InvalidRequest as problem:
            # Somebody published this id directly, with something that is no request.
            raise IdempotencyKeyReused from problem
