"""Submitting requests: a caller who gets an answer can rely on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from functions.shared.errors import IdempotencyKeyReused, QueueFull, Unavailable, VideoDeleted
from functions.shared.streams.bus import Bus
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.validation import StoredRequest
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.video.events import VideoData
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import VideoRequest
from functions.submit.prepared_request import PreparedRequest
from functions.submit.queue_limits import QueueLimits
from functions.submit.request_publisher import RequestPublisher
from functions.submit.stored_request import find_request
from functions.submit.stream_writes import StreamWrites
from functions.submit.unconfirmed_requests import UnconfirmedRequests


@dataclass(frozen=True)
class Accepted:
    """A request that is in the stream.

    Attributes:
        request: what is stored, with `created_at` exact to the second, as the API shows it; None
            if the video has events, which `snapshot` holds.
        snapshot: the newest event of the video.
    """

    request: StoredRequest | None
    snapshot: Snapshot


class Submissions:
    """Submits requests. Safe to use from any thread."""

    def __init__(
        self,
        bus: Bus,
        ledger: Ledger,
        profile: Profile,
        limits: QueueLimits,
        writes: StreamWrites,
        *,
        deadline: float,
    ) -> None:
        """Publish to `bus`, and stop retrying `deadline` seconds after a call started.

        While `writes` says that NATS stores nothing, nothing is published.
        """
        self._bus = bus
        self._ledger = ledger
        self._profile = profile
        self._limits = limits
        self._writes = writes
        self._publisher = RequestPublisher(bus, profile, writes, deadline=deadline)
        self._unconfirmed = UnconfirmedRequests(bus, ledger)

    def submit(
        self,
        key: VideoKey,
        request: VideoRequest,
        *,
        idempotent: bool,
        request_hash: str | None = None,
    ) -> Accepted:
        """Publish `request` as the video `key`, once.

        Args:
            key: the account, and the id of the new video.
            request: the request, its form already checked.
            idempotent: the id comes from the caller's Idempotency-Key or event, so a request that
                is stored under it is either this one, sent before, or one that reuses the key.
            request_hash: the hash of what the caller sent, if that is not `request`.

        Raises:
            InvalidRequest, TooLarge: see `PreparedRequest.prepare`.
            IdempotencyKeyReused, VideoDeleted: see `find`.
            QueueFull: the queue is full.
            NotStored: NATS stores nothing, so nothing was published.
            OutcomeUnknown: NATS did not confirm. Unless `idempotent`, the request never runs.
        """
        prepared = self.prepare(key, request, request_hash)
        if idempotent:
            snapshot = self._ledger.read(key)
            if not snapshot.queued:
                return _same_video(snapshot, prepared.request_hash)
        self._writes.check()
        self._limits.reserve(key.account)
        return self._publish(prepared, idempotent=idempotent)

    def prepare(
        self, key: VideoKey, request: VideoRequest, request_hash: str | None = None
    ) -> PreparedRequest:
        """See `PreparedRequest.prepare`."""
        return PreparedRequest.prepare(key, request, self._profile, request_hash)

    def submit_batch(self, account: str, batch: Sequence[PreparedRequest]) -> None:
        """Publish a batch of idempotent requests, none of which `find` finds.

        Raises:
            QueueFull: the queue has no room for all of them. Nothing was published.
            InvalidEvent: the queue never has room for all of them. Nothing was published.
            Unavailable: part of the batch may be stored. Sending it again is safe.
        """
        if batch:
            self._writes.check()
            self._limits.reserve(account, len(batch))
        for number, prepared in enumerate(batch):
            try:
                self._publish(prepared, idempotent=True)
            except QueueFull as full:
                if number == 0:
                    raise
                raise Unavailable(
                    "The queue has reached its size limit, and only part of the batch is stored. "
                    "Send the whole batch again later.",
                    retry_after=full.retry_after,
                ) from full

    def find(self, key: VideoKey, request_hash: str) -> Accepted | None:
        """What became of an earlier request with this idempotent id; None if there was none.

        Raises:
            IdempotencyKeyReused: the earlier request was a different one.
            VideoDeleted: its video was deleted.
        """
        snapshot = self._ledger.read(key)
        if not snapshot.queued:
            return _same_video(snapshot, request_hash)
        message = find_request(self._bus, key)
        if message is None:
            return None
        stored = self._publisher.read(message)
        if stored.request_hash != request_hash:
            raise IdempotencyKeyReused
        return Accepted(stored, snapshot)

    def drain(self, seconds: float) -> None:
        """Before the process exits, withdraw requests that callers were told had failed."""
        self._unconfirmed.drain(seconds)

    def _publish(self, prepared: PreparedRequest, *, idempotent: bool) -> Accepted:
        key = prepared.event.key
        try:
            stored = self._publisher.publish(prepared)
        except Unavailable:
            if not idempotent:
                # The caller is told that it failed, so it must never run.
                self._unconfirmed.withdraw(key)
            raise
        if stored.event_id != prepared.event.id and stored.request_hash != prepared.request_hash:
            raise IdempotencyKeyReused
        return Accepted(stored, Snapshot(key))


def _same_video(snapshot: Snapshot, request_hash: str) -> Accepted:
    if snapshot.deleted:
        raise VideoDeleted
    if not isinstance(snapshot.data, VideoData) or snapshot.data.request_hash != request_hash:
        raise IdempotencyKeyReused
    return Accepted(None, snapshot)
