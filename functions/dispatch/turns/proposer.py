"""Gives turns, and writes down the state of the queue.

Any process may, and no leader is elected: the stream TURNS keeps at most MAX_IN_FLIGHT turns, and
one of a video. So two processes that choose at the same time do no harm.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from functions.dispatch.turns.checkpoints import Checkpoints
from functions.dispatch.turns.unsettled import UnsettledRequests
from functions.shared.errors import KinoraError, QueueFull, SequenceConflict, Unavailable
from functions.shared.streams.bus import Bus
from functions.shared.streams.queue_state import read_queue_state
from functions.shared.subjects import (
    ALL_TURNS,
    REQUESTS,
    TURNS,
    VIDEOS,
    names_by_video,
)

log = logging.getLogger(__name__)

# Other processes end turns without telling this one, and TURNS may lose some.
LOOK_SECONDS: Final = 1.0
# A video's last event comes some milliseconds before the end of its turn, so looks begin with this
# pause, and then become rarer.
FIRST_LOOK_SECONDS: Final = 0.02
# Of those that are considered already: enough to estimate costs from.
REPLAYED_EVENTS: Final = 5000
# After an error, and between tries to follow the streams while NATS is away.
RETRY_SECONDS: Final = 0.5


class Proposer:
    """Follows the streams, and gives the next turns as places become free."""

    def __init__(
        self,
        bus: Bus,
        requests: UnsettledRequests,
        *,
        max_in_flight: int,
        on_given: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Keep `requests` in step with `bus`.

        Args:
            bus: the streams.
            requests: what waits.
            max_in_flight: the limit of TURNS.
            on_given: called with the account of each turn.
        """
        self._on_given = on_given
        self._bus = bus
        self._requests = requests
        self._limit = max_in_flight
        self._checkpoints = Checkpoints(bus, requests)
        self._pause, self._look_at, self._ended_before = FIRST_LOOK_SECONDS, 0.0, 0
        self._problem = ""
        self._stopping = threading.Event()
        self._recreated = threading.Event()
        self._replayed = {VIDEOS: threading.Event(), REQUESTS: threading.Event()}
        self._stop_following: list[Callable[[], None]] = []

    def start(self) -> None:
        """Start the thread; NATS may be unreachable at first."""
        threading.Thread(target=self._run, name="turns", daemon=True).start()

    def stop(self) -> None:
        """Give no more turns."""
        self._stopping.set()
        self._requests.changed.set()

    def propose(self) -> None:
        """Give turns until none may start, or the limit is reached.

        Raises:
            Unavailable: NATS does not answer; nothing is lost.
        """
        if not len(self._requests) or self._is_full():
            return
        while True:
            ended = self._requests.ended_turns
            turns = names_by_video(self._bus.list_subjects(TURNS, ALL_TURNS)).keys()
            chosen = self._requests.next_turn(turns)
            if len(turns) >= self._limit:
                self._look_later(ended)
                return
            if chosen is None:
                return
            key, seq = chosen
            try:
                self._bus.publish(key.turn_subject, str(seq).encode(), expected=0)
            except (QueueFull, SequenceConflict):
                # Another process was first.
                return
            self._requests.turn_given(key)
            self._on_given(key.account)

    def _look_later(self, ended: int) -> None:
        again = ended == self._ended_before
        self._pause = min(2 * self._pause, LOOK_SECONDS) if again else FIRST_LOOK_SECONDS
        self._look_at, self._ended_before = time.monotonic() + self._pause, ended

    def _is_full(self) -> bool:
        """Whether there was no place a moment ago, and no turn has ended since."""
        recently = time.monotonic() < self._look_at
        return recently and self._requests.ended_turns == self._ended_before

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
                while self._goes_on():
                    self._work()
            except KinoraError as problem:
                log.info("turns are given again once NATS answers: %s", problem.message)
            except Exception:
                log.exception("turns are given again after a pause")
            self._stop_all()
            self._stopping.wait(RETRY_SECONDS)

    def _goes_on(self) -> bool:
        """Wait until there may be something to do; False if that is not here."""
        pauses = (self._checkpoints.seconds_left(), self._look_at - time.monotonic())
        self._requests.changed.wait(min([p for p in pauses if p > 0], default=LOOK_SECONDS))
        self._requests.changed.clear()
        return not self._stopping.is_set() and not self._recreated.is_set()

    def _work(self) -> None:
        try:
            self.propose()
            self._checkpoints.write_if_due()
            self._problem = ""
        except Unavailable as problem:
            # An outage: what is followed stays as it is. It is told once.
            if problem.message != self._problem:
                log.info("no turn is given: %s", problem.message)
            self._problem = problem.message
            self._stopping.wait(RETRY_SECONDS)

    def _follow(self) -> None:
        """Read what is written down, and follow both streams from there.

        Raises:
            Unavailable: NATS does not answer, or the replay was interrupted.
        """
        self._recreated.clear()
        known = read_queue_state(self._bus)
        self._requests.restart(known)
        for first, last in known.unsettled:
            for seq in range(first, last + 1):
                message = self._bus.get_message(REQUESTS, seq)
                if message is not None:
                    self._requests.apply_request(message)
        # Those that have ended are known before their requests are replayed, and are not kept.
        for stream, apply, after in (
            (VIDEOS, self._requests.apply_event, max(0, known.videos - REPLAYED_EVENTS)),
            (REQUESTS, self._requests.apply_request, known.requests),
        ):
            replayed = self._replayed[stream]
            replayed.clear()
            self._stop_following.append(
                self._bus.follow(stream, apply, replayed.set, self._on_recreated, after=after)
            )
            while not replayed.wait(RETRY_SECONDS):
                if self._stopping.is_set() or self._recreated.is_set():
                    raise Unavailable("The replay was interrupted")
        created = (self._bus.stream_end(stream).created for stream in (REQUESTS, VIDEOS))
        self._checkpoints.restart(*created)
        self._requests.replayed()

    def _on_recreated(self) -> None:
        self._recreated.set()
        self._requests.changed.set()

    def _stop_all(self) -> None:
        while self._stop_following:
            self._stop_following.pop()()
