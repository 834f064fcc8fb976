"""Keeps the index in step with the streams, also when these are recreated or lose messages."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Bus, Message
from functions.shared.subjects import ALL_REQUESTS, ALL_VIDEOS, REQUESTS, VIDEOS
from functions.shared.video.events import EventName
from functions.status.freshness import StreamProgress
from functions.status.index import VideoIndex
from functions.status.loss_watch import LossWatch
from functions.status.lost_messages import LostMessages

log = logging.getLogger(__name__)

# Between attempts to follow the streams during an outage of NATS.
RETRY_SECONDS: Final = 1.0
# Between looks for lost messages.
CHECK_SECONDS: Final = 2.0
# How the subjects of tombstones end.
DELETED: Final = f".{EventName.DELETED}"


class Replay:
    """Replays both streams into an index, then follows them; starts over if they lose messages."""

    def __init__(self, bus: Bus, index: VideoIndex, lost_messages: LostMessages) -> None:
        """Read from `bus` into `index`, once `start` has been called.

        `lost_messages` is asked every few seconds.
        """
        self._bus = bus
        self._index = index
        self._lost_messages = lost_messages
        self._caught_up: Final = {REQUESTS: threading.Event(), VIDEOS: threading.Event()}
        self._progress: Final = {
            stream: StreamProgress(
                bus, stream, subject, LossWatch(kept_seconds=lost_messages.kept_seconds)
            )
            for stream, subject in ((REQUESTS, ALL_REQUESTS), (VIDEOS, ALL_VIDEOS))
        }
        self._stop_following: list[Callable[[], None]] = []
        self._recreated: Final = threading.Event()
        self._begun = 0.0
        # Of the latest replay that has caught up with both streams; None before the first.
        self.seconds: float | None = None
        # How many were begun.
        self.count = 0

    def start(self) -> None:
        """Start the replay; NATS may be unreachable at first."""
        self._follow_streams()
        threading.Thread(target=self._restart_after_losses, name="replay", daemon=True).start()

    def check(self) -> None:
        """Return if the index holds everything that was stored before the replay started.

        Raises:
            Unavailable: not yet.
        """
        for stream, event in self._caught_up.items():
            if not event.is_set():
                raise Unavailable(f"The list of videos is still being read from {stream}")

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

    def _is_complete(self) -> bool:
        return all(event.is_set() for event in self._caught_up.values())

    def _follow_streams(self) -> None:
        self._begun = time.monotonic()
        self.count += 1
        handlers = {REQUESTS: self._index.apply_request, VIDEOS: self._index.apply_event}
        for stream, apply in handlers.items():
            progress = self._progress[stream]
            progress.reset()
            stop = self._bus.follow(
                stream,
                partial(_apply, apply, progress),
                partial(self._catch_up, stream),
                self._recreated.set,
            )
            self._stop_following.append(stop)

    def _catch_up(self, stream: str) -> None:
        was_complete = self._is_complete()
        self._caught_up[stream].set()
        if self._is_complete() and not was_complete:
            self.seconds = time.monotonic() - self._begun

    def _restart_after_losses(self) -> None:
        while True:
            if self._recreated.wait(CHECK_SECONDS):
                log.warning("the streams were recreated: rebuilding the list of videos")
            elif self._is_complete() and self._found_losses():
                log.warning("messages were lost: rebuilding the list of videos")
            else:
                continue
            self._recreated.clear()
            for event in self._caught_up.values():
                event.clear()
            self._stop()
            self._index.clear()
            while not self._try_to_follow():
                time.sleep(RETRY_SECONDS)

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

    def _try_to_follow(self) -> bool:
        try:
            self._follow_streams()
        except Unavailable as problem:
            log.warning("can't read the streams yet: %s", problem.message)
            self._stop()
            return False
        return True

    def _stop(self) -> None:
        while self._stop_following:
            self._stop_following.pop()()


def _apply(apply: Callable[[Message], None], progress: StreamProgress, message: Message) -> None:
    try:
        apply(message)
    finally:
        # Also what can't be applied: no later attempt would succeed.
        progress.applied(message.seq)
        if message.subject.endswith(DELETED):
            progress.losses.deletion_seen()
