"""Faults that an operator causes or ends: a full disk, wrong clocks, deletions in NATS."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final

from tests.e2e.faults.checker import read_histories
from tests.e2e.faults.history import FINISHED
from tests.e2e.faults.schedule import WRONG_CLOCKS, Fault
from tests.e2e.faults.stack import CLOCKS, FaultyStack
from tests.patience import wait_until

log = logging.getLogger(__name__)


class Operations:
    """Injects these faults into a stack, and ends each after its time."""

    def __init__(self, stack: FaultyStack, stopping: threading.Event) -> None:
        """End a fault early once `stopping` is set."""
        self._stack = stack
        self._stopping = stopping
        self.kinds: Final[Mapping[str, Callable[[Fault], None]]] = {
            "fill the disk": self.fill_disk,
            **dict.fromkeys(WRONG_CLOCKS, self.jump),
            "delete the consumer": self.delete_consumer,
            "purge what ended": self.purge,
            "purge the turns": self.purge_turns,
        }

    def fill_disk(self, fault: Fault) -> None:
        """Leave no room for NATS; then make room, and restart it."""
        assert self._stack.disk is not None
        self._stack.disk.fill()
        self._stopping.wait(fault.seconds)
        self._stack.disk.empty()
        # What `make run` and the liveness probe do.
        self._stack.restart(fault.target)

    def jump(self, fault: Fault) -> None:
        """Let the clock of a running function jump, and jump back."""
        self._stack.set_clock(fault.target, WRONG_CLOCKS[fault.kind])
        self._stopping.wait(fault.seconds)
        self._stack.set_clock(fault.target, CLOCKS[fault.target])
        self._stack.wait_ready(fault.target)

    def delete_consumer(self, fault: Fault) -> None:
        """Delete the consumer of `dispatch`; then run the set-up command."""
        ack_wait = self._stack.streams.delete_consumer()
        self._stopping.wait(fault.seconds)
        wait_until(self._set_up, seconds=60, what="the set-up succeeds")
        self._stack.streams.set_ack_wait(ack_wait)

    def _set_up(self) -> bool:
        """Run the set-up command; False if it failed, as it does while the store is away."""
        try:
            self._stack.set_up()
        except AssertionError as failed:
            log.info("%s", failed)
            return False
        return True

    def purge_turns(self, _: Fault) -> None:
        """Remove all turns, and what is written down about the queue."""
        self._stack.streams.purge({"TURNS": ["kinora.turns.>"], "QUEUE": ["kinora.queue"]})

    def purge(self, _: Fault) -> None:
        """Remove what no state depends on: all but the last event of videos that have ended."""
        ended = [
            history
            for history in read_histories(self._stack.streams)[0].values()
            if history.state in FINISHED
        ]
        superseded = [m.subject for h in ended for m in h.now if m is not h.final]
        requests = [f"kinora.requests.{'.'.join(history.key)}" for history in ended]
        self._stack.streams.purge({"VIDEOS": superseded, "REQUESTS": requests})
