"""How the state of a video is read and changed: the two rules of the delivery protocol.

Read: the newest message on `kinora.videos.<account>.<id>.*` is the whole state of a video, and
decisions are made only on what the stream's leader answers. Publish: an event names the sequence
that it follows, and JetStream refuses it if the state has changed since. A single publish without
that guard would void it for everyone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from functions.shared.backoff import Backoff
from functions.shared.errors import KinoraError, OutcomeUnknown, SequenceConflict
from functions.shared.streams.bus import Bus
from functions.shared.streams.cloudevents import STRUCTURED
from functions.shared.streams.video_events import VideoEvent
from functions.shared.streams.video_state import Snapshot, VideoState, snapshot_of
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.timestamps import NANOSECONDS
from functions.shared.video.events import RUNNING, TRANSITIONS, EventName, Started

log = logging.getLogger(__name__)

# How long a missing state may be the answer of a leader that was just elected and lags behind.
# Past this, the message was purged by an operator or by the stream's `max_age`.
ELECTION_SECONDS: Final = 15.0
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 1.0


class LostRace(KinoraError):
    """Another event of this video was stored first."""

    def __init__(self, newest: Snapshot) -> None:
        """Keep the state that won."""
        super().__init__()
        self.newest = newest


class Ledger:
    """Reads and changes the state of videos. Safe to use from any thread."""

    def __init__(
        self,
        bus: Bus,
        *,
        takeover_grace: float,
        on_stored: Callable[[VideoEvent], None] = lambda _: None,
    ) -> None:
        """Work on `bus`, and call `on_stored` with each event that is known to be stored.

        No lease expires for `takeover_grace` seconds after an outage of NATS.
        """
        self._bus = bus
        self._takeover_grace = takeover_grace
        self._on_stored = on_stored

    def read(self, key: VideoKey) -> Snapshot:
        """The state of a video, as the stream's leader knows it: safe to base decisions on.

        Raises:
            Unavailable: NATS does not answer.
        """
        return snapshot_of(key, self._bus.get_last_message(VIDEOS, key.events_filter, leader=True))

    def lease_left(self, snapshot: Snapshot) -> float:
        """Seconds until another worker may take the video over; 0 or less once it may.

        Lease ages are measured in JetStream's time, so no machine's clock matters. After an outage
        of NATS, workers get `takeover_grace` seconds to renew the leases that expired meanwhile.

        Raises:
            Unavailable: NATS does not answer.
        """
        if snapshot.name not in RUNNING or not isinstance(snapshot.data, Started):
            return 0.0
        lease = snapshot.data.lease
        if lease.seconds == 0:
            return 0.0
        left = lease.seconds - (self._bus.now() - snapshot.time) / NANOSECONDS
        return max(left, self._takeover_grace - self._bus.connected_for())

    def publish(
        self,
        after: VideoState,
        event: VideoEvent,
        *,
        lease_id: str | None = None,
        deadline: float | None = None,
        give_up: threading.Event | None = None,
    ) -> VideoState:
        """Make `event` the newest of its video, if `after` still is; returns the new state.

        An unknown outcome is never taken for a failure: the same event is retried until the outcome
        is known. The acknowledgement carries no timestamp, so the new state has no age.

        Args:
            after: the state that the event follows.
            event: what to publish. Its id stays the same in every try, so that a try whose
                acknowledgement was lost is recognised.
            lease_id: the publisher's lease. A newer event under this lease is the publisher's own,
                stored by a try that was not acknowledged; the event follows that one instead.
            deadline: `time.monotonic()` at which to stop retrying; None retries for ever.
            give_up: stops the retrying once it is set.

        Raises:
            LostRace: another event was stored first.
            OutcomeUnknown: the deadline passed, or `give_up` was set, before the outcome was known.
            ValueError: the protocol does not allow `event` after `after`.
        """
        if event.name not in TRANSITIONS[None if after.queued else after.name]:
            raise ValueError(f"{event.name} can't follow {after.name}")
        subject, payload = event.key.event_subject(event.name), event.to_bytes()
        expected, retry = after.seq, _Retry(deadline, give_up)
        while True:
            try:
                seq = self._bus.publish(
                    subject,
                    payload,
                    expected=expected,
                    expected_filter=event.key.events_filter,
                    headers={"content-type": STRUCTURED},
                )
                if event.name is not EventName.PROGRESSED:
                    log.info("video %s", event.name, extra=asdict(event.key))
                self._on_stored(event)
                return VideoState(event.key, seq, event.name, event.id, event.data)
            except OutcomeUnknown as unknown:
                retry.wait(unknown)
            except SequenceConflict as conflict:
                newest = self._read_again(event.key, retry)
                if newest.seq == expected or (newest.seq < expected and not retry.past_election):
                    # No rival has won yet: its publish is in process, or the leader lags behind.
                    retry.wait(conflict)
                elif newest.event_id == event.id:
                    self._on_stored(event)
                    return newest
                elif lease_id is not None and newest.lease_id == lease_id:
                    expected = newest.seq
                else:
                    raise LostRace(newest) from conflict

    def _read_again(self, key: VideoKey, retry: _Retry) -> Snapshot:
        while True:
            try:
                return self.read(key)
            except KinoraError as problem:
                retry.wait(problem)


class _Retry:
    """Backs off between the tries of one publish, until its deadline or until told to give up."""

    def __init__(self, deadline: float | None, give_up: threading.Event | None) -> None:
        self._deadline = deadline
        self._give_up = give_up or threading.Event()
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._since = time.monotonic()

    @property
    def past_election(self) -> bool:
        """Whether a state that is still missing was purged, and is not a lagging leader's."""
        return time.monotonic() - self._since > ELECTION_SECONDS

    def wait(self, cause: Exception) -> None:
        pause = next(self._backoff)
        late = self._deadline is not None and time.monotonic() + pause > self._deadline
        if late or self._give_up.wait(pause):
            raise OutcomeUnknown(
                "NATS did not confirm in time whether this was done. Try again.", retry_after=2
            ) from cause
