"""Gives the stream VIDEOS the events `completed` that it has lost, from their records."""

from __future__ import annotations

import logging
from collections import Counter
from enum import StrEnum
from typing import Final

from pydantic import ValidationError

from functions.shared.errors import KinoraError, Unavailable
from functions.shared.storage import Store, StoredObject
from functions.shared.streams.bus import Bus
from functions.shared.streams.ledger import Ledger, LostRace
from functions.shared.streams.queue_state import read_queue_state
from functions.shared.streams.video_events import VideoEvent
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import REQUESTS, VideoKey
from functions.shared.timestamps import DAY_SECONDS, NANOSECONDS, parse_rfc3339
from functions.shared.video.events import Completed
from functions.shared.video_objects import by_video, find_record

log = logging.getLogger(__name__)

# Between two lines about how far the command has come.
REPORT_EVERY: Final = 1000


class Restored(StrEnum):
    """What became of a video that has objects in the bucket."""

    RESTORED = "restored"
    FINISHED = "skipped: the stream has their final state"
    RUNNING = "skipped: a worker renders them, or will"
    NO_RECORD = "skipped: no complete set of files with a record"
    EXPIRED = "skipped: older than MAX_AGE_DAYS"
    REFUSED = "skipped: see the messages above"


class VideoRestorer:
    """Restores videos one after the other; safe at any time, and as often as you like.

    Each event names what it follows, so none replaces an event that the stream has.
    """

    def __init__(self, bus: Bus, ledger: Ledger, store: Store, *, max_age_days: int) -> None:
        """Restore what `store` has into the streams of `bus`, unless it has expired."""
        self._bus = bus
        self._ledger = ledger
        self._store = store
        self._max_age = max_age_days * DAY_SECONDS

    def restore_all(self) -> Counter[Restored]:
        """Restore every video that can be, and count what became of all of them.

        Raises:
            Unavailable: NATS or the store does not answer.
        """
        counts: Counter[Restored] = Counter()
        for key, objects in by_video(self._store.list_objects("")).items():
            counts[self._restore(key, objects)] += 1
            if counts.total() % REPORT_EVERY == 0:
                log.info("%d videos so far, %d restored", counts.total(), counts[Restored.RESTORED])
        return counts

    def _restore(self, key: VideoKey, objects: list[StoredObject]) -> Restored:
        try:
            snapshot = self._ledger.read(key)
            if snapshot.terminal:
                return Restored.FINISHED
            if self._may_run(snapshot):
                return Restored.RUNNING
            event = find_record(self._store, key, objects, from_attempt=snapshot.attempt)
            if event is None:
                return Restored.NO_RECORD
            return self._publish(snapshot, event)
        except Unavailable:
            raise
        except (KinoraError, ValidationError) as problem:
            log.warning("%s/%s: %s", key.account, key.video_id, problem)
            return Restored.REFUSED

    def _may_run(self, snapshot: Snapshot) -> bool:
        """Whether a worker has the video, or gets it when its request is delivered again.

        Without any event, none has it, and its record shows that one had.
        """
        if snapshot.queued:
            return False
        queue = read_queue_state(self._bus)
        request = self._bus.get_last_message(REQUESTS, snapshot.key.request_subject, leader=True)
        if request is not None and not queue.is_settled(request.seq):
            return True
        return self._ledger.lease_left(snapshot) > 0

    def _publish(self, snapshot: Snapshot, event: VideoEvent) -> Restored:
        created = event.data.created_at if isinstance(event.data, Completed) else ""
        if parse_rfc3339(created) < self._bus.now() - self._max_age * NANOSECONDS:
            return Restored.EXPIRED
        try:
            self._ledger.publish(snapshot, event)
        except LostRace:
            return Restored.FINISHED
        return Restored.RESTORED
