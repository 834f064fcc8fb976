"""Finds videos of which the stream VIDEOS has lost the last event, and gives them one again.

A request is settled only after its video has a terminal event. So a settled request without one
shows a loss: an operator purged the stream, or a damaged file of NATS had the event. Nothing would
ever deliver the request again, and the video would read `queued` until it expires.
"""

from __future__ import annotations

import logging
from typing import Final

from pydantic import ValidationError

from functions.shared.errors import KinoraError, Unavailable
from functions.shared.storage import Store
from functions.shared.streams.bus import Bus, Message
from functions.shared.streams.first_event import known_of, prompt_excerpt, working_for
from functions.shared.streams.ledger import Ledger, LostRace
from functions.shared.streams.queue_state import read_queue_state
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
from functions.shared.timestamps import MINUTE_SECONDS, NANOSECONDS
from functions.shared.video.events import (
    STATE_LOST,
    TERMINAL,
    EventName,
    Failed,
    Failure,
    carried_over,
)
from functions.shared.video.profiles import Profile
from functions.shared.video_objects import find_record

log = logging.getLogger(__name__)

CHECK_SECONDS: Final = 1.0 * MINUTE_SECONDS
# How long the last event must have been missing. A leader that was just elected may lag behind
# by seconds, and a worker whose video is gone needs some until it gives up; see `Ledger.publish`.
MISSING_SECONDS: Final = 50.0
MESSAGE: Final = (
    "The server has lost this video's state, and its files were not found. Send the request again."
)


class LostVideos:
    """Completes lost videos from their records, and fails those that have none.

    Safe in several processes at once: each event names what it follows.
    """

    def __init__(self, bus: Bus, ledger: Ledger, profile: Profile, store: Store) -> None:
        """Compare the subjects in `bus`; records lie in `store`.

        Requests are read with the defaults of `profile`.
        """
        self._bus = bus
        self._ledger = ledger
        self._profile = profile
        self._store = store
        # When each video was first found without its last event, in JetStream's time.
        self._missing_since: dict[VideoKey, int] = {}

    def check(self) -> None:
        """Check every video once.

        Raises:
            Unavailable: NATS or the store does not answer; the next check continues.
        """
        now = self._bus.now()
        # Before any state is read: what was settled by now had its last event by now.
        queue = read_queue_state(self._bus)
        requests = names_by_video(self._bus.list_subjects(REQUESTS, ALL_REQUESTS))
        videos = names_by_video(self._bus.list_subjects(VIDEOS, ALL_VIDEOS))
        unfinished = [key for key in requests if not videos.get(key, set()) & TERMINAL]
        before, self._missing_since = self._missing_since, {}
        for key in unfinished:
            message = self._bus.get_last_message(REQUESTS, key.request_subject, leader=True)
            if message is None or not queue.is_settled(message.seq):
                continue
            since = before.get(key, now)
            if now - since < MISSING_SECONDS * NANOSECONDS:
                self._missing_since[key] = since
            else:
                self._end_or_skip(key, message)

    def _end_or_skip(self, key: VideoKey, message: Message) -> None:
        try:
            self._end(key, message)
        except Unavailable:
            raise
        except (KinoraError, ValidationError) as problem:
            log.warning("%s can't be given an event: %s", key.video_id, problem)

    def _end(self, key: VideoKey, message: Message) -> None:
        snapshot = self._ledger.read(key)
        # A worker that took the request before it was settled may have claimed the video since.
        if snapshot.terminal or self._ledger.lease_left(snapshot) > 0:
            return
        objects = self._store.list_objects(key.object_prefix)
        event = find_record(self._store, key, objects, from_attempt=snapshot.attempt)
        if event is None:
            event = self._failed(snapshot, message)
        with working_for(message):
            try:
                self._ledger.publish(snapshot, event)
            except LostRace as lost:
                log.info("%s was published first", lost.newest.name)
            else:
                log.warning("its state was lost; the video is %s again", event.name)

    def _failed(self, snapshot: Snapshot, message: Message) -> VideoEvent:
        known = carried_over(snapshot.data) or known_of(message, self._profile)
        if not known.get("request"):
            known["prompt"] = prompt_excerpt(message)
        error = Failure(code=STATE_LOST, message=MESSAGE)
        data = Failed(**known, error=error)
        return VideoEvent.new(snapshot.key, EventName.FAILED, data, source=Source.DISPATCH)
