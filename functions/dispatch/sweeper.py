"""The sweeper: removes what crashes left behind, and fails videos that no worker will finish.

Every step reads from the leader first and is idempotent, so several processes may sweep at once.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from functions.shared.errors import InvalidRequest
from functions.shared.storage import Store, StoredObject
from functions.shared.streams.bus import Bus
from functions.shared.streams.first_event import known_of, prompt_excerpt, working_for
from functions.shared.streams.ledger import Ledger, LostRace
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import (
    ALL_REQUESTS,
    ALL_VIDEOS,
    REQUESTS,
    VIDEOS,
    VideoKey,
    names_by_video,
)
from functions.shared.timestamps import (
    DAY_SECONDS,
    HOUR_SECONDS,
    MINUTE_SECONDS,
    NANOSECONDS,
    format_rfc3339,
)
from functions.shared.video.events import (
    QUEUED_TOO_LONG,
    RUNNING,
    STATE_LOST,
    WORKER_LOST,
    Completed,
    EventName,
    Failed,
    Failure,
    carried_over,
)
from functions.shared.video.profiles import Profile
from functions.shared.video_objects import PREVIEW_FILE, attempt_of, by_video

log = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 10 * MINUTE_SECONDS
# Objects of attempts that may still be uploading are younger than this.
OBJECT_AGE: Final = HOUR_SECONDS
# After a week in the queue, the caller no longer waits for the video.
QUEUED_AGE: Final = 7 * DAY_SECONDS
# Much longer than any worker needs to renew a lease late.
STALE_AGE: Final = 10 * MINUTE_SECONDS


class Sweeper:
    """Sweeps the bucket and the streams."""

    def __init__(
        self, bus: Bus, ledger: Ledger, profile: Profile, store: Store, *, max_age_days: int
    ) -> None:
        """Compare the objects in `store` and the subjects in `bus` with the states in `ledger`.

        Requests are read with the defaults of `profile`.
        """
        self._bus = bus
        self._ledger = ledger
        self._profile = profile
        self._store = store
        self._max_age = max_age_days * DAY_SECONDS

    def sweep(self) -> None:
        """Check every object and every video once.

        Raises:
            Unavailable: NATS or the store does not answer; the next sweep continues.
        """
        now = self._bus.now()
        self._sweep_objects(now)
        requests = names_by_video(self._bus.list_subjects(REQUESTS, ALL_REQUESTS))
        videos = names_by_video(self._bus.list_subjects(VIDEOS, ALL_VIDEOS))
        for key, events in videos.items():
            with _skip_invalid(key):
                if EventName.DELETED in events:
                    self._finish_delete(key, others=len(events) > 1, request=key in requests)
                elif key not in requests and events <= RUNNING:
                    self._fail_abandoned(key, now)
        for key in requests.keys() - videos.keys():
            with _skip_invalid(key):
                self._fail_queued_too_long(key, now)

    def _sweep_objects(self, now: int) -> None:
        old = (
            item
            for item in self._store.list_objects("")
            if now - item.modified > OBJECT_AGE * NANOSECONDS
        )
        for key, items in by_video(old).items():
            with _skip_invalid(key):
                snapshot = self._ledger.read(key)
                orphans = [item.key for item in items if self._is_orphan(item, snapshot, now)]
                if orphans:
                    log.info("%s: deleting %d orphaned objects", key.video_id, len(orphans))
                    self._store.delete(orphans)

    def _is_orphan(self, item: StoredObject, snapshot: Snapshot, now: int) -> bool:
        if snapshot.queued:
            # Its events have expired with `max_age`, or are still to come: only age can tell.
            return now - item.modified > (self._max_age + DAY_SECONDS) * NANOSECONDS
        if isinstance(snapshot.data, Completed):
            prefix = snapshot.data.output.prefix
            return not item.key.startswith(prefix) or item.key == prefix + PREVIEW_FILE
        if isinstance(snapshot.data, Failed) and snapshot.data.error.code == STATE_LOST:
            return False  # perhaps all that is left of the video: for people to look at
        if snapshot.terminal:
            # An unreadable terminal event may be a later version's `completed`, with these files.
            return snapshot.deleted or snapshot.data is not None
        attempt = attempt_of(item.key)
        # Only files of earlier attempts: the current attempt's worker may still be uploading.
        return attempt is not None and attempt < snapshot.attempt

    def _finish_delete(self, key: VideoKey, *, others: bool, request: bool) -> None:
        tombstone = self._ledger.read(key)
        if not tombstone.deleted:
            return
        if others:
            self._bus.purge(VIDEOS, key.events_filter, below=tombstone.seq)
        if request:
            self._bus.purge(REQUESTS, key.request_subject)

    def _fail_abandoned(self, key: VideoKey, now: int) -> None:
        snapshot = self._ledger.read(key)
        running = snapshot.name in RUNNING and not snapshot.queued
        stale = now - snapshot.time > STALE_AGE * NANOSECONDS
        if running and stale and self._ledger.lease_left(snapshot) <= 0:
            failure = Failure(
                code=WORKER_LOST,
                message="The worker was lost, and the request is gone. Send it again.",
            )
            known = carried_over(snapshot.data) or {"created_at": format_rfc3339(snapshot.time)}
            self._fail(snapshot, Failed(**known, error=failure))

    def _fail_queued_too_long(self, key: VideoKey, now: int) -> None:
        message = self._bus.get_last_message(REQUESTS, key.request_subject, leader=True)
        if message is None or now - message.time < QUEUED_AGE * NANOSECONDS:
            return
        snapshot = self._ledger.read(key)
        if snapshot.queued:
            failure = Failure(
                code=QUEUED_TOO_LONG,
                message=f"No worker was free for {QUEUED_AGE // DAY_SECONDS} days. Send it again.",
            )
            known = known_of(message, self._profile)
            if not known.get("request"):
                known["prompt"] = prompt_excerpt(message)
            with working_for(message):
                self._fail(snapshot, Failed(**known, error=failure))

    def _fail(self, snapshot: Snapshot, data: Failed) -> None:
        event = VideoEvent.new(snapshot.key, EventName.FAILED, data, source=Source.DISPATCH)
        try:
            self._ledger.publish(snapshot, event)
        except LostRace:
            log.info("%s: another event was published first", snapshot.key.video_id)


@contextlib.contextmanager
def _skip_invalid(key: VideoKey) -> Iterator[None]:
    """Log that a video can't be swept, and let the sweep continue with the next one."""
    try:
        yield
    except (InvalidRequest, ValidationError) as problem:
        log.warning("%s can't be swept: %s", key.video_id, problem)
