"""The two rules that decide every video: how its state is read, and how it is changed.

The newest message on `kinora.videos.<account>.<id>.*` is the whole state of a video. It is read
from the stream's leader, and replaced only by a publish that names the sequence it was read at. A
publish without that guard would defeat everyone else's.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ValidationError

from functions.shared.errors import InvalidEvent, KinoraError, OutcomeUnknown, SequenceConflict
from functions.shared.streams.bus import Bus, Message
from functions.shared.streams.cloudevents import STRUCTURED, VideoEvent, read_video_event
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.timestamps import NANOSECONDS
from functions.shared.video.events import (
    RUNNING,
    TERMINAL,
    TRANSITIONS,
    Completed,
    Deleted,
    EventName,
    Started,
)

log = logging.getLogger(__name__)

# An election of JetStream's leader takes a few seconds, in which an older state may be read; what
# is still not there after so long was removed by an operator or by the streams' `max_age`.
VANISHED_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Snapshot:
    """A video as it was at one moment. `seq` 0 and `name` None: nothing but, at most, a request.

    `time` is JetStream's, in nanoseconds, and `data` one of the models in `videos`, or None where
    the message could not be read.
    """

    key: VideoKey
    seq: int = 0
    time: int = 0
    name: EventName | None = None
    event_id: str = ""
    data: BaseModel | None = None

    @property
    def terminal(self) -> bool:
        """Nothing will happen to this video any more, but its deletion."""
        return self.name in TERMINAL

    @property
    def deleted(self) -> bool:
        """The video was deleted."""
        return self.name is EventName.DELETED

    @property
    def attempt(self) -> int:
        """The number of the newest attempt; 0 before the first."""
        return getattr(self.data, "attempt", 0)

    @property
    def lease_id(self) -> str | None:
        """The lease under which the video runs, or ran last before it was given back."""
        return self.data.lease.id if isinstance(self.data, Started) else None

    @property
    def created_at(self) -> str | None:
        """JetStream's timestamp of the request, once an event carries it."""
        return self.data.created_at if isinstance(self.data, Deleted) else None


class LostRace(KinoraError):
    """Another publish about this video came first."""

    def __init__(self, newest: Snapshot) -> None:
        """Keep what won."""
        super().__init__()
        self.newest = newest


def snapshot_of(key: VideoKey, message: Message | None) -> Snapshot:
    """Read a message of the stream VIDEOS; None is the empty snapshot.

    Of a message that can't be read (somebody else's, or a later version's) its subject still tells
    whether it is an end, and an end stays one. Anything else says nothing, and may be followed.
    """
    if message is None:
        return Snapshot(key)
    try:
        name, event_id, data = read_video_event(message.headers, message.data)
        _check_prefix(key, data)
    except (InvalidEvent, ValidationError) as problem:
        # The first line only: the rest repeats what somebody sent.
        log.warning("%s can't be read: %s", message.subject, str(problem).splitlines()[0])
        token = message.subject.rpartition(".")[2]
        ended = token in TERMINAL
        return Snapshot(key, message.seq, message.time, EventName(token) if ended else None)
    return Snapshot(key, message.seq, message.time, name, event_id, data)


def _check_prefix(key: VideoKey, data: BaseModel) -> None:
    if isinstance(data, Completed) and not data.output.prefix.startswith(key.prefix):
        raise InvalidEvent("The files of a video lie under its own prefix", param="prefix")


class Ledger:
    """Reads and changes the state of videos. Safe to use from any thread."""

    def __init__(self, bus: Bus, *, takeover_grace: float) -> None:
        """Work on `bus`; after it was away, no lease counts as expired for `takeover_grace` s."""
        self._bus = bus
        self._takeover_grace = takeover_grace

    def read(self, key: VideoKey) -> Snapshot:
        """The state of a video, from the leader: good enough to decide on.

        Raises:
            Unavailable: NATS does not answer.
        """
        return snapshot_of(key, self._bus.newest(VIDEOS, key.events, leader=True))

    def lease_left(self, snapshot: Snapshot) -> float:
        """Seconds until another worker may take the video over; 0 or less: now.

        Ages are measured in JetStream's own time, so that no machine's clock matters. After an
        outage of NATS a worker needs a moment to renew what it could not renew meanwhile.
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
        after: Snapshot,
        event: VideoEvent,
        *,
        lease_id: str | None = None,
        deadline: float | None = None,
        give_up: threading.Event | None = None,
    ) -> Snapshot:
        """Make `event` the newest of its video, if `after` still is; the answer is the new state.

        An unknown outcome is never taken for a failure: the same event is published again until
        somebody knows.

        Args:
            after: the state that the event follows.
            event: what to publish; its id is fixed, so it is recognised when it was stored.
            lease_id: the publisher's lease. A newer event under it is the publisher's own, stored
                by an earlier publish of which no answer came, and is built upon.
            deadline: `time.monotonic()` at which to stop trying; None goes on for ever.
            give_up: stops the trying between two tries when it is set.

        Raises:
            LostRace: somebody else's event came first.
            OutcomeUnknown: the deadline passed, or `give_up` was set, and no answer is known.
        """
        if event.name not in TRANSITIONS[after.name]:
            raise ValueError(f"{event.name} can't follow {after.name}")
        subject, payload = event.key.event(event.name), event.to_bytes()
        expected, pause = after.seq, _Backoff()
        while True:
            try:
                seq = self._bus.publish(
                    subject,
                    payload,
                    expected=expected,
                    expected_filter=event.key.events,
                    headers={"content-type": STRUCTURED},
                )
                return self._won(event, seq)
            except OutcomeUnknown as unknown:
                pause.wait(deadline, give_up, unknown)
            except SequenceConflict as conflict:
                newest = self._read_until(event.key, pause, deadline, give_up)
                if newest.seq == expected or (newest.seq < expected and not pause.long):
                    # Neither refusal proves that anyone won: another publish is in process.
                    pause.wait(deadline, give_up, conflict)
                elif newest.event_id == event.id:
                    return newest
                elif lease_id is not None and newest.lease_id == lease_id:
                    expected = newest.seq
                else:
                    raise LostRace(newest) from conflict

    def _won(self, event: VideoEvent, seq: int) -> Snapshot:
        # The time is not in the answer; nobody judges the age of what they have just published.
        return Snapshot(event.key, seq, 0, event.name, event.id, event.data)

    def _read_until(
        self,
        key: VideoKey,
        pause: _Backoff,
        deadline: float | None,
        give_up: threading.Event | None,
    ) -> Snapshot:
        while True:
            try:
                return self.read(key)
            except KinoraError as problem:
                pause.wait(deadline, give_up, problem)


class _Backoff:
    """Waits a little longer each time, with jitter, so that rivals do not stay in step."""

    def __init__(self) -> None:
        self._delay = 0.02
        self._begun = time.monotonic()

    @property
    def long(self) -> bool:
        """So long that what was to be replaced must have expired, or have been purged."""
        return time.monotonic() - self._begun > VANISHED_SECONDS

    def wait(
        self, deadline: float | None, give_up: threading.Event | None, cause: Exception
    ) -> None:
        delay = self._delay * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
        self._delay = min(self._delay * 2, 1.0)
        late = deadline is not None and time.monotonic() + delay > deadline
        if late or (give_up or threading.Event()).wait(delay):
            raise OutcomeUnknown(
                "NATS did not say in time whether this was done. Try again.", retry_after=2
            ) from cause
