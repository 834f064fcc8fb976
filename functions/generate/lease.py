"""Holding a video: everything this process says about it, and the sign of life in between."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from functions.shared.errors import KinoraError, OutcomeUnknown
from functions.shared.streams.bus import Bus
from functions.shared.streams.ledger import Ledger, LostRace, VideoState
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.video.events import DATA_OF, TERMINAL, EventName, Lease, Started, carried_over

log = logging.getLogger(__name__)

# A hint may come before the stream has stored what it is about, so it is looked for again.
LOOKS: Final = (0.0, 0.1, 0.5)
# Events that this process does not publish while it holds the video: somebody else's news.
_NEWS: Final = frozenset({EventName.STARTED, *TERMINAL})


class HeldLease:
    """The right to speak about a video, from `started` until it is lost or used up.

    The lease is renewed by a timer and not by the engine's steps: a compilation or a decoding may
    take longer than a lease. It may be renewed even when it has expired, if nobody took it.
    """

    def __init__(
        self,
        ledger: Ledger,
        bus: Bus,
        started: VideoState,
        *,
        source: Source,
        renew_seconds: float,
        report: Callable[[], dict[str, Any]],
    ) -> None:
        """Hold what `started` claimed; `report` gives `progress` and `stage` for each renewal."""
        if not isinstance(started.data, Started):
            raise TypeError("a lease begins with 'started'")
        self.lease: Final = started.data.lease
        # Set once the video belongs to somebody else, or has come to an end.
        self.lost: Final = threading.Event()
        self._ledger = ledger
        self._bus = bus
        self._state: VideoState = started
        self._source = source
        self._renew_seconds = renew_seconds
        self._report = report
        self._ended = threading.Event()
        self._wake = threading.Event()
        self._publishing = threading.Lock()

    def end(self, name: EventName, **fields: Any) -> None:
        """Say the last word: `name`, with `fields` beside what every event carries.

        Raises:
            LostRace: the video is no longer ours, so nothing was said.
        """
        self._stop()
        self._publish(name, fields, give_up=None)

    def release(self, **fields: Any) -> None:
        """Give the video back for another attempt, with `fields` of `progressed`.

        Raises:
            LostRace: it is no longer ours to give.
        """
        lease = Lease(id=self.lease.id, seconds=0)
        self.end(EventName.PROGRESSED, lease=lease, **fields)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the lease, and look out for its loss, until the block ends."""
        keeper = threading.Thread(target=self._keep, name="lease", daemon=True)
        unwatch = self._watch()
        keeper.start()
        try:
            yield
        finally:
            self._stop()
            unwatch()
            keeper.join()

    def _stop(self) -> None:
        self._ended.set()
        self._wake.set()

    def _watch(self) -> Callable[[], None]:
        def news(subject: str) -> None:
            if subject.rpartition(".")[2] in _NEWS:
                self._wake.set()

        try:
            return self._bus.watch(self._state.key.events_filter, news)
        except KinoraError as problem:
            # Without hints a cancellation is noticed at the next renewal.
            log.warning("can't watch %s: %s", self._state.key.video_id, problem.message)
            return lambda: None

    def _keep(self) -> None:
        while not self._ended.is_set() and not self.lost.is_set():
            hinted = self._wake.wait(self._renew_seconds)
            self._wake.clear()
            if self._ended.is_set():
                return
            try:
                if hinted:
                    self._look()
                else:
                    fields = {"lease": self.lease, **self._report()}
                    self._publish(EventName.PROGRESSED, fields, give_up=self._ended)
            except LostRace:
                self.lost.set()
            except OutcomeUnknown:
                return
            except KinoraError as problem:
                log.warning("lease of %s: %s", self._state.key.video_id, problem.message)

    def _look(self) -> None:
        for pause in LOOKS:
            if self._ended.wait(pause):
                return
            newest = self._ledger.read(self._state.key)
            if newest.terminal or newest.lease_id != self.lease.id:
                raise LostRace(newest)

    def _publish(
        self, name: EventName, fields: dict[str, Any], *, give_up: threading.Event | None
    ) -> None:
        with self._publishing:
            data = DATA_OF[name](**(carried_over(self._state.data) | fields))
            event = VideoEvent.new(self._state.key, name, data, source=self._source)
            self._state = self._ledger.publish(
                self._state, event, lease_id=self.lease.id, give_up=give_up
            )
