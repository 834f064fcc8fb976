"""The worker: takes one video at a time, and answers for it until it is done."""

from __future__ import annotations

import logging
import secrets
import threading
from dataclasses import replace
from typing import Final

from functions.generate.attempt import Attempt, Means
from functions.shared.errors import Unavailable
from functions.shared.streams.ledger import LostRace, Snapshot, VideoState
from functions.shared.streams.validation import StoredRequest, read_request
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.subjects import REQUESTS
from functions.shared.timestamps import format_rfc3339
from functions.shared.video.events import MAX_ATTEMPTS, EventName, Lease, Started, VideoData
from functions.shared.video.profiles import Profile

log = logging.getLogger(__name__)


class Worker:
    """Takes requests by their sequence in the stream REQUESTS, and trusts nothing else.

    The lock is ours and not the platform's: Knative takes a replica for free as soon as a client
    has disconnected, while the video goes on.
    """

    def __init__(self, means: Means, profile: Profile, *, name: str, lease_seconds: float) -> None:
        """Work with `means`; `name` tells this replica from others in the events."""
        self.name: Final = name
        self._means = means
        self._profile = profile
        self._lease_seconds = lease_seconds
        self._one_video = threading.Lock()
        self._attempt: Attempt | None = None
        self._thread: threading.Thread | None = None
        self._draining = False

    def take(self, seq: int) -> Attempt:
        """Claim the video that the request `seq` asks for, and begin to make it.

        Raises:
            InvalidRequest: the request can't become a video.
            Unavailable: not this worker, or not now; somebody asks again later.
        """
        if not self._one_video.acquire(blocking=False):
            raise Unavailable("This worker is busy", code="busy", retry_after=1)
        try:
            stored, started = self._claim(seq)
            self._attempt = attempt = Attempt(self._means, stored, started)
            # Not a daemon: a video outlives its response, and the interpreter waits for it.
            self._thread = threading.Thread(target=self._run, args=(attempt,), name="attempt")
            self._thread.start()
        except BaseException:
            self._one_video.release()
            raise
        return attempt

    def _run(self, attempt: Attempt) -> None:
        try:
            attempt.run()
        finally:
            self._attempt = None
            self._one_video.release()

    def _claim(self, seq: int) -> tuple[StoredRequest, VideoState]:
        # Looked at under the lock, for which `drain` waits: nothing begins behind its back.
        if self._draining:
            raise Unavailable("This worker is being stopped", code="draining", retry_after=1)
        message = self._means.bus.get_message(REQUESTS, seq)
        if message is None:
            raise Unavailable(f"There is no request {seq} any more", code="request_gone")
        stored = read_request(message, self._profile)
        ledger = self._means.ledger
        before = ledger.read(stored.key)
        if before.terminal:
            raise Unavailable(f"The video is {before.name} already", code="ended")
        if ledger.lease_left(before) > 0:
            raise Unavailable("Another worker has this video", code="leased")
        if before.attempt >= MAX_ATTEMPTS:
            raise Unavailable("Every attempt is used up", code="attempts_used_up")
        stored = _as_carried(stored, before)
        event = VideoEvent.new(
            stored.key, EventName.STARTED, self._started(stored, before), source=Source.GENERATE
        )
        try:
            return stored, ledger.publish(before, event)
        except LostRace as lost:
            raise Unavailable("Another worker was faster", code="leased") from lost

    def _started(self, stored: StoredRequest, before: Snapshot) -> Started:
        earlier = before.data.started_at if isinstance(before.data, VideoData) else None
        return Started(
            created_at=stored.created_at,
            request=stored.request,
            request_hash=stored.request_hash,
            attempt=before.attempt + 1,
            worker=self.name,
            started_at=earlier or format_rfc3339(self._means.bus.now()),
            lease=Lease(id=secrets.token_hex(16), seconds=self._lease_seconds),
        )

    def check(self) -> None:
        """Return if a new video may be sent here.

        Raises:
            Unavailable: this worker drains, or makes a video whose connection was lost: the
                platform takes it for free, and would send it every new video.
        """
        attempt = self._attempt
        if self._draining:
            raise Unavailable("This worker is being stopped")
        if attempt is not None and not attempt.connected:
            raise Unavailable("This worker makes a video whose connection was lost")

    def stop_taking(self) -> None:
        """Take no new video from now on; the current one goes on."""
        self._draining = True

    def drain(self) -> None:
        """Take no new video, and return when the current one is done."""
        self.stop_taking()
        with self._one_video:
            thread = self._thread
        if thread is not None:
            thread.join()


def _as_carried(stored: StoredRequest, before: Snapshot) -> StoredRequest:
    """The request as the first attempt began it: one published again since changes nothing."""
    data = before.data
    if not isinstance(data, VideoData) or data.request is None:
        return stored
    return replace(
        stored,
        request=data.request,
        request_hash=data.request_hash,
        created_at=data.created_at,
    )
