"""Keeping the index at one with the streams, whatever becomes of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Bus
from functions.shared.subjects import REQUESTS, VIDEOS
from functions.status.index import Index

log = logging.getLogger(__name__)

# How soon a start is tried again that met an outage of NATS.
PAUSE_SECONDS: Final = 1.0


class Replay:
    """Fills an index from both streams, and again from nothing when they were begun anew."""

    def __init__(self, bus: Bus, index: Index) -> None:
        """Read `bus` into `index`; `start` begins."""
        self._bus = bus
        self._index = index
        self._caught_up: Final = {REQUESTS: threading.Event(), VIDEOS: threading.Event()}
        self._unfollow: list[Callable[[], None]] = []
        self._begun_anew: Final = threading.Event()

    def start(self) -> None:
        """Begin to read; NATS need not be there yet."""
        self._follow()
        threading.Thread(target=self._watch, name="replay", daemon=True).start()

    def check(self) -> None:
        """Return if the index holds what was in the streams when the reading began.

        Raises:
            Unavailable: not yet.
        """
        for name, event in self._caught_up.items():
            if not event.is_set():
                raise Unavailable(f"The list of videos is still being read from {name}")

    def _follow(self) -> None:
        takes = {REQUESTS: self._index.apply_request, VIDEOS: self._index.apply_event}
        for stream, take in takes.items():
            unfollow = self._bus.follow(
                stream, take, self._caught_up[stream].set, self._begun_anew.set
            )
            self._unfollow.append(unfollow)

    def _watch(self) -> None:
        while True:
            self._begun_anew.wait()
            self._begun_anew.clear()
            log.warning("the streams were begun anew: so is the list of videos")
            for event in self._caught_up.values():
                event.clear()
            self._stop()
            self._index.clear()
            while not self._try_to_follow():
                time.sleep(PAUSE_SECONDS)

    def _try_to_follow(self) -> bool:
        try:
            self._follow()
        except Unavailable as problem:
            log.warning("can't read the streams yet: %s", problem.message)
            self._stop()
            return False
        return True

    def _stop(self) -> None:
        while self._unfollow:
            self._unfollow.pop()()
