"""Cancelling and deleting: the two ways in which a caller ends a video."""

from __future__ import annotations

import time

from functions.shared.errors import InvalidRequest, VideoNotFound
from functions.shared.storage import Store
from functions.shared.streams.bus import Bus, Message
from functions.shared.streams.ledger import Ledger, LostRace, Snapshot, VideoState
from functions.shared.streams.validation import read_request
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.timestamps import format_rfc3339
from functions.shared.video.events import Cancelled, Deleted, EventName, carried_over
from functions.shared.video.profiles import Profile


class Endings:
    """Ends videos, in whatever state they are. Safe to use from any thread."""

    def __init__(
        self, bus: Bus, ledger: Ledger, store: Store, profile: Profile, *, deadline: float
    ) -> None:
        """Stop trying `deadline` seconds after a call began."""
        self._bus = bus
        self._ledger = ledger
        self._store = store
        self._profile = profile
        self._deadline = deadline

    def cancel(self, key: VideoKey) -> Snapshot:
        """Cancel a video that is waiting or running; a finished one stays as it is.

        Returns:
            The state that the video now has.

        Raises:
            VideoNotFound: there is no such video, or it was deleted.
            Unavailable: NATS did not answer; cancelling again is safe.
        """
        deadline = time.monotonic() + self._deadline
        snapshot = self._ledger.read(key)
        while not snapshot.terminal:
            known = carried_over(snapshot.data) or self._from_request(key)
            event = VideoEvent.new(
                key, EventName.CANCELLED, Cancelled(**known), source=Source.SUBMIT
            )
            try:
                self._ledger.publish(snapshot, event, deadline=deadline)
                snapshot = self._ledger.read(key)
            except LostRace as lost:
                snapshot = lost.newest
        if snapshot.deleted:
            raise VideoNotFound
        return snapshot

    def delete(self, key: VideoKey) -> None:
        """Delete a video and its files, whatever its state; doing it again finishes the work.

        Raises:
            VideoNotFound: there never was such a video, or it expired.
            Unavailable: a part could not be removed; deleting again removes the rest.
        """
        tombstone = self._tombstone(key)
        self._store.delete_prefix(key.object_prefix)
        self._bus.purge(REQUESTS, key.request_subject)
        # Up to the tombstone, which stays: without it an older event would be the newest again.
        self._bus.purge(VIDEOS, key.events_filter, below=tombstone.seq)

    def _tombstone(self, key: VideoKey) -> VideoState:
        deadline = time.monotonic() + self._deadline
        snapshot = self._ledger.read(key)
        while not snapshot.deleted:
            created_at = snapshot.created_at or self._created_at(snapshot)
            event = VideoEvent.new(
                key, EventName.DELETED, Deleted(created_at=created_at), source=Source.SUBMIT
            )
            try:
                return self._ledger.publish(snapshot, event, deadline=deadline)
            except LostRace as lost:
                snapshot = lost.newest
        return snapshot

    def _created_at(self, snapshot: Snapshot) -> str:
        # A video whose event is unreadable can be deleted too.
        if snapshot.unreadable:
            return format_rfc3339(snapshot.time)
        return format_rfc3339(self._request(snapshot.key).time)

    def _request(self, key: VideoKey) -> Message:
        message = self._bus.get_last_message(REQUESTS, key.request_subject, leader=True)
        if message is None:
            raise VideoNotFound
        return message

    def _from_request(self, key: VideoKey) -> dict[str, object]:
        message = self._request(key)
        created: dict[str, object] = {"created_at": format_rfc3339(message.time)}
        try:
            stored = read_request(message, self._profile)
        except InvalidRequest:
            return created
        return {**created, "request": stored.request, "request_hash": stored.request_hash}
