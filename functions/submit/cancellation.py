"""Cancelling videos."""

from __future__ import annotations

import time

from functions.shared.errors import VideoNotFound
from functions.shared.streams.bus import Bus
from functions.shared.streams.first_event import known_of
from functions.shared.streams.ledger import Ledger, LostRace
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.video.events import Cancelled, EventName, carried_over
from functions.shared.video.profiles import Profile
from functions.submit.stored_request import get_request
from functions.submit.stream_writes import StreamWrites


class Cancellations:
    """Cancels videos, queued or running. Safe to use from any thread."""

    def __init__(
        self,
        bus: Bus,
        ledger: Ledger,
        profile: Profile,
        writes: StreamWrites,
        *,
        deadline: float,
    ) -> None:
        """Stop retrying `deadline` seconds after a call started, or when `writes` says so."""
        self._bus = bus
        self._ledger = ledger
        self._profile = profile
        self._writes = writes
        self._deadline = deadline

    def cancel(self, key: VideoKey) -> Snapshot:
        """Cancel a video that is queued or running. A video in a terminal state stays as it is.

        Returns:
            The current state of the video.

        Raises:
            VideoNotFound: the video does not exist or was deleted.
            NotStored: NATS stores nothing, so the video was not cancelled.
            Unavailable: NATS did not answer. Cancelling again is safe.
        """
        deadline = time.monotonic() + self._deadline
        snapshot = self._ledger.read(key)
        while not snapshot.terminal:
            known = carried_over(snapshot.data) or known_of(
                get_request(self._bus, key), self._profile
            )
            event = VideoEvent.new(
                key, EventName.CANCELLED, Cancelled(**known), source=Source.SUBMIT
            )
            self._writes.check()
            try:
                with self._writes.publishing():
                    self._ledger.publish(
                        snapshot, event, deadline=deadline, give_up=self._writes.stopped
                    )
                snapshot = self._ledger.read(key)
            except LostRace as lost:
                snapshot = lost.newest
        if snapshot.deleted:
            raise VideoNotFound
        return snapshot
