"""Making sure that a request which a caller was told has failed is never run."""

from __future__ import annotations

import logging
import queue
import threading
import time

from functions.shared.streams.bus import Bus
from functions.shared.streams.ledger import Ledger, LostRace, VideoState
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.subjects import REQUESTS, VideoKey
from functions.shared.timestamps import format_rfc3339
from functions.shared.video.events import Deleted, EventName

log = logging.getLogger(__name__)


class Burial:
    """Deletes, in the background, requests of which nobody knows whether they were stored.

    The tombstone comes first: with it, a request that is stored later is never run.
    """

    def __init__(self, bus: Bus, ledger: Ledger) -> None:
        """Start nothing until there is something to bury."""
        self._bus = bus
        self._ledger = ledger
        self._ghosts: queue.Queue[VideoKey] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def bury(self, key: VideoKey) -> None:
        """Delete the request as soon as NATS answers again; returns at once."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="burial", daemon=True)
                self._thread.start()
        self._ghosts.put(key)

    def finish(self, seconds: float) -> None:
        """Bury what is left, for `seconds` at most: the queue is gone with the process."""
        end = time.monotonic() + seconds
        with self._ghosts.all_tasks_done:
            while self._ghosts.unfinished_tasks and time.monotonic() < end:
                self._ghosts.all_tasks_done.wait(end - time.monotonic())

    def _run(self) -> None:
        while True:
            key = self._ghosts.get()
            try:
                self._bury_one(key)
            except Exception:
                log.exception("could not bury %s; it is tried again", key.video_id)
                time.sleep(1)
                self._ghosts.put(key)
            self._ghosts.task_done()

    def _bury_one(self, key: VideoKey) -> None:
        after = VideoState(key)
        while not after.deleted:
            data = Deleted(created_at=format_rfc3339(self._bus.now()))
            event = VideoEvent.new(key, EventName.DELETED, data, source=Source.SUBMIT)
            try:
                after = self._ledger.publish(after, event)
            except LostRace as lost:
                after = lost.newest
        self._bus.purge(REQUESTS, key.request_subject)
