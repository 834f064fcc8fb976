"""The worker: claims one video at a time, and runs its attempt."""

from __future__ import annotations

import contextvars
import logging
import secrets
import threading
from dataclasses import replace
from typing import Final

from functions.generate.attempt import Attempt, AttemptDependencies
from functions.shared.errors import Unavailable
from functions.shared.streams.first_event import established_by
from functions.shared.streams.ledger import LostRace
from functions.shared.streams.validation import StoredRequest, read_request
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.streams.video_state import Snapshot, VideoState
from functions.shared.subjects import REQUESTS
from functions.shared.timestamps import format_rfc3339
from functions.shared.video.events import MAX_ATTEMPTS, EventName, Lease, Started, VideoData
from functions.shared.video.profiles import Profile
from functions.shared.video.warnings import merged
from functions.shared.write_check import WriteCheck

log = logging.getLogger(__name__)


class Worker:
    """Takes requests by their sequence in the stream REQUESTS, and trusts no other source.

    Knative considers a replica free as soon as its client has disconnected, while the video is
    still being rendered; so the worker has a lock of its own.
    """

    def __init__(
        self,
        dependencies: AttemptDependencies,
        profile: Profile,
        write_check: WriteCheck,
        *,
        name: str,
        lease_seconds: float,
    ) -> None:
        """Create a worker without a video.

        Args:
            dependencies: what its attempts use.
            profile: requests are validated against it.
            write_check: no video is claimed while the object store refuses writes.
            name: identifies this replica in events.
            lease_seconds: for how long a claim, and each renewal, holds.
        """
        self.name: Final = name
        self._dependencies = dependencies
        self._profile = profile
        self._write_check = write_check
        self._lease_seconds = lease_seconds
        self._one_video = threading.Lock()
        self._attempt: Attempt | None = None
        self._thread: threading.Thread | None = None
        self._draining = False

    def start_attempt(self, seq: int) -> Attempt:
        """Claim the video of the request `seq`, and start rendering it.

        Raises:
            InvalidRequest: the request can't become a video.
            Unavailable: not on this worker, or not now; the caller retries.
        """
        if not self._one_video.acquire(blocking=False):
            raise Unavailable("This worker is busy", code="busy", retry_after=1)
        try:
            stored, started = self._claim(seq)
            self._attempt = attempt = Attempt(self._dependencies, stored, started)
            # Not a daemon: a video outlives its response, and the interpreter waits for it.
            # It logs, and publishes, on behalf of the current request.
            run = contextvars.copy_context().run
            self._thread = threading.Thread(target=run, args=(self._run, attempt), name="attempt")
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
        # Checked under the lock that `drain` waits for: no attempt starts after it.
        if self._draining:
            raise Unavailable("This worker is shutting down", code="draining", retry_after=1)
        message = self._dependencies.bus.get_message(REQUESTS, seq)
        if message is None:
            raise Unavailable(f"The request {seq} no longer exists", code="request_gone")
        stored = read_request(message, self._profile)
        ledger = self._dependencies.ledger
        before = ledger.read(stored.key)
        if before.terminal:
            raise Unavailable(f"The video is already {before.name}", code="ended")
        if ledger.lease_left(before) > 0:
            raise Unavailable("Another worker has this video", code="leased")
        if before.attempt >= MAX_ATTEMPTS:
            raise Unavailable("No attempt is left", code="attempts_used_up")
        # Last, so that the answer is fresh: a rendering that can't be stored costs an attempt.
        self._write_check.check()
        stored = _with_carried_settings(stored, before)
        event = VideoEvent.new(
            stored.key, EventName.STARTED, self._started(stored, before), source=Source.GENERATE
        )
        try:
            return stored, ledger.publish(before, event)
        except LostRace as lost:
            raise Unavailable("Another event was published first", code="leased") from lost

    def _started(self, stored: StoredRequest, before: Snapshot) -> Started:
        earlier = before.data.started_at if isinstance(before.data, VideoData) else None
        known = established_by(stored)
        if isinstance(before.data, VideoData):
            known["warnings"] = merged(before.data.warnings, known["warnings"])
        return Started(
            **known,
            attempt=before.attempt + 1,
            worker=self.name,
            started_at=earlier or format_rfc3339(self._dependencies.bus.now()),
            lease=Lease(id=secrets.token_hex(16), seconds=self._lease_seconds),
        )

    def check(self) -> None:
        """Return if this worker can accept a request.

        Raises:
            Unavailable: the worker is shutting down; or the object store refuses writes; or the
                worker renders a video whose client has disconnected: the platform considers it
                free, and would send it every new video.
        """
        attempt = self._attempt
        if self._draining:
            raise Unavailable("This worker is shutting down")
        self._write_check.check()
        # The store may take the check's object and refuse a video.
        if attempt is not None and attempt.store_problem is not None:
            raise Unavailable(f"A finished video waits for its upload. {attempt.store_problem}")
        if attempt is not None and not attempt.connected:
            raise Unavailable("This worker renders a video whose client has disconnected")

    def stop_accepting(self) -> None:
        """Accept no more requests; the current attempt continues."""
        self._draining = True

    def drain(self) -> None:
        """Accept no more requests, and wait until the current attempt has ended."""
        self.stop_accepting()
        with self._one_video:
            thread = self._thread
        if thread is not None:
            thread.join()


def _with_carried_settings(stored: StoredRequest, before: Snapshot) -> StoredRequest:
    """The request with the first attempt's settings: publishing it again does not change them."""
    data = before.data
    if not isinstance(data, VideoData) or data.request is None:
        return stored
    return replace(
        stored,
        request=data.request,
        request_hash=data.request_hash,
        created_at=data.created_at,
    )
