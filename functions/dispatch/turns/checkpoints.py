"""Writes the state of the queue to the stream QUEUE."""

from __future__ import annotations

import logging
import time
from typing import Final

from functions.dispatch.turns.unsettled import UnsettledRequests
from functions.shared.backoff import PAUSE_FACTOR
from functions.shared.errors import SequenceConflict, TooLarge
from functions.shared.streams.bus import Bus
from functions.shared.streams.queue_state import QueueState, parse_queue_state
from functions.shared.subjects import QUEUE, QUEUE_SUBJECT

log = logging.getLogger(__name__)

# As often as `submit` reads it.
WRITE_SECONDS: Final = 0.25
# Between two looks whether it is there.
LOOK_SECONDS: Final = 10.0


class Checkpoints:
    """Keeps the stream's only message up to date. For one thread; other processes write it too.

    The process that has read furthest wins, so a slow one replaces nothing newer.
    """

    def __init__(self, bus: Bus, requests: UnsettledRequests) -> None:
        """Write the state of `requests` to `bus`."""
        self._bus = bus
        self._requests = requests
        self.restart("", "")

    def restart(self, requests_created: str, videos_created: str) -> None:
        """Write from now on for the streams that were created then."""
        self._created = (requests_created, videos_created)
        self._seq: int | None = None
        self._written: QueueState | None = None
        self._due = self._looked = 0.0

    def seconds_left(self) -> float:
        """How long to wait until `write_if_due` may write."""
        return max(0.0, self._due - time.monotonic())

    def write_if_due(self) -> None:
        """Write the state, if it has changed and the last time is long enough ago.

        Raises:
            Unavailable: NATS does not answer; the next call tries again.
        """
        begun = time.monotonic()
        if begun < self._due:
            return
        state = self._requests.state(*self._created)
        if begun - self._looked > LOOK_SECONDS:
            # An operator may have removed it, or another process may have read further.
            self._looked, self._seq = begun, self._find(state)
        if self._written is None or not _same(state, self._written):
            self._write(state)
        took = time.monotonic() - begun
        self._due = begun + max(WRITE_SECONDS, PAUSE_FACTOR * took)

    def _write(self, state: QueueState) -> None:
        if self._seq is None:
            self._seq = self._find(state)
        if self._seq is None:
            return
        try:
            self._seq = self._bus.publish(
                QUEUE_SUBJECT, state.model_dump_json().encode(), expected=self._seq
            )
            self._written = state
        except SequenceConflict:
            self._seq = None
        except TooLarge as problem:
            # More than 60,000 requests, if none is beside another one. The next state may fit.
            log.warning("the state of the queue can't be written down: %s", problem.message)
            self._written = state

    def _find(self, state: QueueState) -> int | None:
        """The sequence of what is stored; None if that is newer than `state`."""
        message = self._bus.get_last_message(QUEUE, QUEUE_SUBJECT, leader=True)
        stored = parse_queue_state(message)
        behind = (state.requests, state.videos) < (stored.requests, stored.videos)
        if message is None:
            self._written = None
            return 0
        if behind and stored.created == state.created:
            return None
        if not _same(stored, state):
            self._written = None
        return message.seq


def _same(one: QueueState, other: QueueState) -> bool:
    return one.model_copy(update={"videos": other.videos}) == other
