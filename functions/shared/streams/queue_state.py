"""What `dispatch` writes down about the queue: the only message of the stream QUEUE.

It says which requests have ended, even if VIDEOS loses their events; how many videos of each
account wait, for the limits of `submit`; and the accounts' virtual times, which no restart may
reset and `status` forecasts with. It is true as of a sequence of REQUESTS: whatever came later is
counted from there. A lost one is written again from the other streams.
"""

from __future__ import annotations

import bisect
import logging
from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from functions.shared.streams.bus import Bus, Message
from functions.shared.subjects import (
    ALL_REQUESTS,
    QUEUE,
    QUEUE_SUBJECT,
    REQUESTS,
    VIDEOS,
    subject_filters,
)

log = logging.getLogger(__name__)


class QueueState(BaseModel):
    """The queue at one moment.

    Attributes:
        created: when REQUESTS was created; one that is recreated has other sequences.
        requests: the last sequence of REQUESTS that was considered.
        stored: when that request was stored, in JetStream's nanoseconds; 0 if that is not known.
        videos_created: when VIDEOS was created.
        videos: the last sequence of VIDEOS that was considered.
        unsettled: the sequences of the requests whose videos have not ended, as ranges.
        begun: of those that a worker has, the request's sequence, when the attempt started in
            JetStream's nanoseconds, and the seconds of earlier attempts.
        waiting: how many of them wait for a turn, by account.
        clock: the virtual time of the account that was next last.
        times: the virtual times of the accounts that are not at the clock, without what their
            turns are expected to take.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    created: str = ""
    requests: int = 0
    stored: int = 0
    videos_created: str = ""
    videos: int = 0
    unsettled: tuple[tuple[int, int], ...] = ()
    begun: tuple[tuple[int, int, float], ...] = ()
    waiting: dict[str, int] = {}
    clock: float = 0.0
    times: dict[str, float] = {}

    def is_settled(self, seq: int) -> bool:
        """Whether the video of the request `seq` has ended: it has, or had, a terminal event."""
        if seq > self.requests:
            return False
        place = bisect.bisect_right(self.unsettled, seq, key=lambda one: one[0])
        return place == 0 or self.unsettled[place - 1][1] < seq

    @property
    def settled_up_to(self) -> int:
        """The sequence up to which every request has ended."""
        return self.unsettled[0][0] - 1 if self.unsettled else self.requests

    @property
    def unsettled_count(self) -> int:
        """How many requests have not ended."""
        return sum(last - first + 1 for first, last in self.unsettled)


NOTHING_KNOWN: Final = QueueState()


def parse_queue_state(message: Message | None) -> QueueState:
    """The state in a message; nothing is known without one, or if it can't be read."""
    if message is None:
        return NOTHING_KNOWN
    try:
        return QueueState.model_validate_json(message.data)
    except ValidationError as problem:
        log.warning("the state of the queue is unreadable: %s", str(problem).splitlines()[0])
        return NOTHING_KNOWN


def read_queue_state(bus: Bus) -> QueueState:
    """The state as the leader has it; nothing is known if REQUESTS was recreated since.

    Of a stream VIDEOS that was recreated, no event was considered.

    A stream that is restored from an older backup keeps the time of its creation, and gives new
    requests the sequences of those that it has lost.

    Raises:
        Unavailable: NATS does not answer.
    """
    state = parse_queue_state(bus.get_last_message(QUEUE, QUEUE_SUBJECT, leader=True))
    end = bus.stream_end(REQUESTS)
    if state.created != end.created or state.requests > end.seq:
        return NOTHING_KNOWN
    last = bus.get_message(REQUESTS, state.requests) if state.stored else None
    if last is not None and last.time != state.stored:
        return NOTHING_KNOWN
    events = bus.stream_end(VIDEOS)
    if state.videos_created != events.created or state.videos > events.seq:
        return state.model_copy(update={"videos": 0, "begun": ()})
    return state


def newest_queue_state(bus: Bus) -> QueueState:
    """The state as any replica has it, for counts.

    Raises:
        Unavailable: NATS does not answer.
    """
    return parse_queue_state(bus.get_last_message(QUEUE, QUEUE_SUBJECT, leader=False))


def backlog(bus: Bus, state: QueueState) -> int:
    """How many requests wait or run: those of `state`, and what was stored since.

    Raises:
        Unavailable: NATS does not answer.
    """
    return state.unsettled_count + bus.count_after(REQUESTS, ALL_REQUESTS, state.requests)


def waiting_of(bus: Bus, state: QueueState, account: str) -> int:
    """How many videos of `account` wait for a turn: those of `state`, and what was stored since.

    Raises:
        Unavailable: NATS does not answer.
    """
    own, _ = subject_filters(account, None)
    return state.waiting.get(account, 0) + bus.count_after(REQUESTS, own, state.requests)


def ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Different numbers as ranges, in order."""
    first = last = None
    for number in sorted(numbers):
        if last is not None and number == last + 1:
            last = number
            continue
        if first is not None and last is not None:
            yield first, last
        first = last = number
    if first is not None and last is not None:
        yield first, last
