"""The lease of a video: renewed while its attempt runs, and the events published under it."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from functions.shared.errors import KinoraError, OutcomeUnknown
from functions.shared.streams.bus import Bus
from functions.shared.streams.ledger import Ledger, LostRace
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.streams.video_state import VideoState
from functions.shared.video.events import DATA_OF, TERMINAL, EventName, Lease, Started, carried_over

log = logging.getLogger(__name__)

# Pauses before re-reading the state after `Bus.watch` reported an event, which may come before the
# stream has stored it.
OWNERSHIP_CHECK_DELAYS: Final = (0.0, 0.1, 0.5)
# Events that end this process's ownership: another worker's claim, and the end of the video.
_OWNERSHIP_EVENTS: Final = frozenset({EventName.STARTED, *TERMINAL})


class HeldLease:
    """The right to publish events of a video, from `started` until it is lost or used up.

    The lease is renewed by a timer and not by the engine's steps: a compilation or a decode may
    take longer than a lease. An expired lease may be renewed if no other worker has claimed the
    video. Whether a lease has expired is decided by `Ledger.lease_left`.
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
        """Hold the lease of `started`; `report` returns `progress` and `stage` for renewals."""
        if not isinstance(started.data, Started):
            raise TypeError("a lease begins with 'started'")
        self.lease: Final = started.data.lease
        # Set once another worker has claimed the video, or the video has ended.
        self.lost: Final = threading.Event()
        self._ledger = ledger
        self._bus = bus
        self._state: VideoState = started
        self._source = source
        self._renew_seconds = renew_seconds
        self._report = report
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._publishing = threading.Lock()

    def event(self, name: EventName, **fields: Any) -> VideoEvent:
        """An event under this lease, with `fields` besides those that events carry over."""
        data = DATA_OF[name](**(carried_over(self._state.data) | fields))
        return VideoEvent.new(self._state.key, name, data, source=self._source)

    def publish_final(self, event: VideoEvent) -> None:
        """Publish the attempt's final event, made by `event`.

        Raises:
            LostRace: the lease was lost; nothing was published.
        """
        self._stop_renewing()
        self._publish(event, give_up=None)

    def release(self, **fields: Any) -> None:
        """Release the video for another attempt, with `fields` of `progressed`.

        Raises:
            LostRace: the lease was lost; nothing was published.
        """
        lease = Lease(id=self.lease.id, seconds=0)
        self.publish_final(self.event(EventName.PROGRESSED, lease=lease, **fields))

    @contextlib.contextmanager
    def renewing(self) -> Iterator[None]:
        """Renew the lease, and watch for its loss, until the block ends."""
        run = contextvars.copy_context().run
        renewer = threading.Thread(target=run, args=(self._renew,), name="lease", daemon=True)
        unwatch = self._watch()
        renewer.start()
        try:
            yield
        finally:
            self._stop_renewing()
            unwatch()
            renewer.join()

    def _stop_renewing(self) -> None:
        self._stopped.set()
        self._wake.set()

    def _watch(self) -> Callable[[], None]:
        def on_event(subject: str) -> None:
            if subject.rpartition(".")[2] in _OWNERSHIP_EVENTS:
                self._wake.set()

        try:
            return self._bus.watch(self._state.key.events_filter, on_event)
        except KinoraError as problem:
            # Without hints, a cancellation is noticed at the next renewal.
            log.warning("can't watch the video: %s", problem.message)
            return lambda: None

    def _renew(self) -> None:
        while not self._stopped.is_set() and not self.lost.is_set():
            hinted = self._wake.wait(self._renew_seconds)
            self._wake.clear()
            if self._stopped.is_set():
                return
            try:
                if hinted:
                    self._check_ownership()
                else:
                    fields = {"lease": self.lease, **self._report()}
                    renewal = self.event(EventName.PROGRESSED, **fields)
                    self._publish(renewal, give_up=self._stopped)
            except LostRace:
                self.lost.set()
            except OutcomeUnknown:
                return
            except KinoraError as problem:
                log.warning("the lease is not renewed: %s", problem.message)

    def _check_ownership(self) -> None:
        for delay in OWNERSHIP_CHECK_DELAYS:
            if self._stopped.wait(delay):
                return
            newest = self._ledger.read(self._state.key)
            if newest.terminal or newest.lease_id != self.lease.id:
                raise LostRace(newest)

    def _publish(self, event: VideoEvent, *, give_up: threading.Event | None) -> None:
        with self._publishing:
            self._state = self._ledger.publish(
                self._state, event, lease_id=self.lease.id, give_up=give_up
            )
