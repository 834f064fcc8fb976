"""Keeps the index in step with the streams, also when these are recreated or lose messages."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Bus, Message
from functions.shared.subjects import (
    ALL_REQUESTS,
    ALL_VIDEOS,
    QUEUE,
    QUEUE_SUBJECT,
    REQUESTS,
    VIDEOS,
)
from functions.shared.video.events import EventName
from functions.status.freshness import StreamProgress
from functions.status.index import VideoIndex
from functions.status.loss_watch import LossWatch
from functions.status.lost_messages import LostMessages
from functions.status.settled_requests import settled_requests

log = logging.getLogger(__name__)

# Between attempts to follow the streams during an outage of NATS.
RETRY_SECONDS: Final = 1.0
# Between attempts to write the list, for example to a full disk.
REBUILD_SECONDS: Final = 10.0
# Between looks for lost messages.
CHECK_SECONDS: Final = 2.0
# How the subjects of tombstones end.
DELETED: Final = f".{EventName.DELETED}"


class Replay:
    """Replays both streams into an index, then follows them; starts over if they lose messages.

    VIDEOS comes first: of a video with an event, the request need not be read
    (`functions.status.settled_requests`).
    """

    def __init__(self, bus: Bus, index: VideoIndex, lost_messages: LostMessages) -> None:
        """Read from `bus` into `index`, once `start` has been called.

        `lost_messages` is asked every few seconds.
        """
        self._bus = bus
        self._index = index
        self._lost_messages = lost_messages
        self._caught_up: Final = {VIDEOS: threading.Event(), REQUESTS: threading.Event()}
        self._complete: Final = threading.Event()
        self._progress: Final = {
            stream: StreamProgress(
                bus, stream, subject, LossWatch(kept_seconds=lost_messages.kept_seconds)
            )
            for stream, subject in ((REQUESTS, ALL_REQUESTS), (VIDEOS, ALL_VIDEOS))
        }
        self._stop_following: dict[str, Callable[[], None]] = {}
        # REQUESTS is followed after this sequence.
        self._settled = 0
        # Why all has to be read again; empty if it need not be.
        self._restart_reason = ""
        self._woken: Final = threading.Event()
        self._begun = 0.0
        # Of the latest replay that has caught up with both streams; None before the first.
        self.seconds: float | None = None
        # How many were begun.
        self.count = 0

    def start(self) -> None:
        """Start the replay; NATS may be unreachable at first."""
        self._begin()
        with contextlib.suppress(Unavailable):  # the thread tries again
            self._advance()
        threading.Thread(target=self._keep_up, name="replay", daemon=True).start()

    def check(self) -> None:
        """Return if the index holds everything that was stored before the replay started.

        Raises:
            Unavailable: not yet.
        """
        if not self._complete.is_set():
            missing = [name for name, event in self._caught_up.items() if not event.is_set()]
            source = missing[0] if missing else "the streams"
            raise Unavailable(f"The list of videos is still being read from {source}")

    def confirmed(self, stream: str, patience: float, *, within: float = 0.0) -> int:
        """Wait until the index has what was stored in `stream` before; see `StreamProgress`.

        Raises:
            Unavailable: the streams are being replayed, or see `StreamProgress.confirmed`.
        """
        self.check()
        return self._progress[stream].confirmed(patience, within=within)

    def behind(self, *, within: float) -> dict[str, int]:
        """How many sequences of each stream the index still lacks; see `StreamProgress.behind`.

        Raises:
            Unavailable: NATS does not answer.
        """
        return {name: one.behind(within=within) for name, one in self._progress.items()}

    def suspects_loss(self) -> bool:
        """Whether VIDEOS may lack what the index has; found out within seconds."""
        return self._progress[VIDEOS].losses.suspected

    def _begin(self) -> None:
        self._begun = time.monotonic()
        self.count += 1
        self._index.begin_replay()

    def _advance(self) -> None:
        """Take those of the next steps that need not wait: VIDEOS, then REQUESTS, then the rest."""
        if QUEUE not in self._stop_following:
            self._stop_following[QUEUE] = self._bus.follow(
                QUEUE,
                self._index.apply_state,
                lambda: None,
                partial(self._restart, "the streams were recreated"),
                subject=QUEUE_SUBJECT,
            )
        if VIDEOS not in self._stop_following:
            self._follow(VIDEOS, 0)
        if not self._caught_up[VIDEOS].is_set():
            return
        if REQUESTS not in self._stop_following:
            self._settled = settled_requests(self._bus)
            self._follow(REQUESTS, self._settled)
        if not self._caught_up[REQUESTS].is_set() or self._complete.is_set():
            return
        if self._settled and not self._index.has_all_requests(self._bus.stream_end(REQUESTS)):
            log.info("the requests of videos that have ended are read too: some have no event")
            self._settled = 0
            self._stop_following[REQUESTS]()
            self._caught_up[REQUESTS].clear()
            self._follow(REQUESTS, 0)
            self._advance()
            return
        self._index.finish_replay()
        self.seconds = time.monotonic() - self._begun
        self._complete.set()

    def _follow(self, stream: str, after: int) -> None:
        apply = self._index.apply_request if stream == REQUESTS else self._index.apply_event
        progress = self._progress[stream]
        progress.reset()
        progress.applied(after)
        self._stop_following[stream] = self._bus.follow(
            stream,
            partial(self._apply, apply, progress),
            partial(self._on_caught_up, self._caught_up[stream]),
            partial(self._restart, "the streams were recreated"),
            after=after,
        )

    def _apply(
        self, apply: Callable[[Message], None], progress: StreamProgress, message: Message
    ) -> None:
        try:
            apply(message)
        except sqlite3.Error as problem:
            # The index is not complete without this message, so nobody may read it until it was
            # built again.
            self._complete.clear()
            self._restart(f"the list can't be written ({problem})")
        finally:
            # Also what can't be applied: no later attempt would succeed.
            progress.applied(message.seq)
            if message.subject.endswith(DELETED):
                progress.losses.deletion_seen()

    def _on_caught_up(self, event: threading.Event) -> None:
        # Of every message that is the last for now, this is told.
        if not event.is_set():
            event.set()
            self._woken.set()

    def _restart(self, reason: str) -> None:
        self._restart_reason = reason
        self._woken.set()

    def _keep_up(self) -> None:
        while True:
            woken = self._woken.wait(CHECK_SECONDS)
            self._woken.clear()
            if not woken and self._complete.is_set() and self._found_losses():
                self._restart_reason = "messages were lost"
            try:
                if self._restart_reason:
                    log.warning("%s: rebuilding the list of videos", self._restart_reason)
                    self._start_over()
                self._advance()
            except Unavailable as problem:
                log.warning("can't read the streams yet: %s", problem.message)
                time.sleep(RETRY_SECONDS)
                self._woken.set()
            except sqlite3.Error as problem:
                time.sleep(REBUILD_SECONDS)
                self._restart(f"the list can't be written ({problem})")

    def _start_over(self) -> None:
        self._complete.clear()
        for event in self._caught_up.values():
            event.clear()
        while self._stop_following:
            self._stop_following.popitem()[1]()
        self._restart_reason = ""
        self._begin()

    def _found_losses(self) -> bool:
        watches = [one.losses for one in self._progress.values()]
        # Later ones are not answered by this comparison.
        before = [watch.suspicions for watch in watches]
        if any(watch.suspected for watch in watches):
            self._lost_messages.suspect()
        if self._lost_messages.found():
            return True
        if not self._lost_messages.suspected:
            for watch, suspicions in zip(watches, before, strict=True):
                watch.dismiss(suspicions)
        return False
