"""What the model knows at one moment: the streams, the store, and each process's next step.

Everything is a tuple, so that equal moments are found equal. Names are those of the code; a process
of which the model has several is told by its number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from functions.shared.video.events import MAX_ATTEMPTS, RUNNING, TERMINAL, EventName

STARTED: Final = EventName.STARTED
PROGRESSED: Final = EventName.PROGRESSED
COMPLETED: Final = EventName.COMPLETED
FAILED: Final = EventName.FAILED
CANCELLED: Final = EventName.CANCELLED
DELETED: Final = EventName.DELETED


@dataclass(frozen=True)
class Guards:
    """What the protocol is made of. Each can be left out, to see what it is there for."""

    compare_and_set: bool = True
    repeat_unknown: bool = True
    read_back: bool = True
    sequence_rule: bool = True
    own_lease_rule: bool = True
    leader_reads: bool = True
    lease_check: bool = True
    dispatch_lease_check: bool = True
    ack_only_finished: bool = True
    one_video_lock: bool = True
    work_outside_response: bool = True
    own_prefix: bool = True
    release: bool = True
    tombstone_kept: bool = True
    purge_keeps_tombstone: bool = True
    delete_whole_prefix: bool = True
    sweep_lower_attempts: bool = True


class Faults(NamedTuple):
    """How often each thing may still happen that nobody controls; clients are among them."""

    worker_crash: int = 0
    worker_pause: int = 0
    dispatcher_crash: int = 0
    dispatcher_pause: int = 0
    sigterm: int = 0
    connection_lost: int = 0
    answer_lost: int = 0
    conflict: int = 0
    stale_read: int = 0
    store_fails: int = 0
    render_fails: int = 0
    handler_crash: int = 0
    late_request: int = 0
    republish: int = 0
    request_purged: int = 0
    cancel: int = 0
    delete: int = 0


class Lease(NamedTuple):
    """In the code 128 random bits; who draws it, in which life and after what is as unique."""

    worker: int
    life: int
    after: int


class Prefix(NamedTuple):
    """Where an attempt's files lie in the store."""

    attempt: int
    lease: Lease | None


class Event(NamedTuple):
    """A message of the stream VIDEOS. `fresh`: its lease has not run out yet."""

    seq: int
    name: EventName
    attempt: int = 0
    lease: Lease | None = None
    fresh: bool = False
    released: bool = False

    @property
    def running(self) -> bool:
        """A worker makes the video, or gave it back for another attempt."""
        return self.name in RUNNING

    @property
    def terminal(self) -> bool:
        """Nothing will happen to the video any more, but its deletion."""
        return self.name in TERMINAL


class Publication(NamedTuple):
    """An event on its way into the stream, and the sequence that it says it follows."""

    name: EventName
    expected: int
    attempt: int = 0
    lease: Lease | None = None
    released: bool = False


class Request(NamedTuple):
    """The message of REQUESTS (`seq` 0: gone), and where it is: available, delivered, or acked."""

    seq: int = 1
    place: str = "available"
    holder: int = -1


class Worker(NamedTuple):
    """One replica of `generate`. Whoever is not idle holds the one-video lock."""

    step: str = "idle"
    expected: int = 0
    attempt: int = 0
    lease: Lease | None = None
    last_word: EventName | None = None
    renewed: bool = False
    paused: bool = False
    draining: bool = False
    life: int = 0


class Dispatcher(NamedTuple):
    """One slot of `dispatch`; `worker` is who it is connected to."""

    step: str = "idle"
    request: int = 0
    expected: int = 0
    worker: int = -1
    paused: bool = False


class Handler(NamedTuple):
    """An HTTP request to `submit`; `doomed` is what lay in the store when its tombstone came."""

    step: str = "idle"
    expected: int = 0
    doomed: frozenset[Prefix] = frozenset()


class Sweeper(NamedTuple):
    """The sweeper of `dispatch`, between what it has read and what it does about it."""

    step: str = "idle"
    expected: int = 0
    orphans: frozenset[Prefix] = frozenset()


class State(NamedTuple):
    """One moment. From `ended` on it is history, which only the properties look at."""

    workers: tuple[Worker, ...]
    dispatchers: tuple[Dispatcher, ...]
    faults: Faults
    request: Request = Request()
    events: tuple[Event, ...] = ()
    next_seq: int = 1
    objects: frozenset[Prefix] = frozenset()
    late_publish: Publication | None = None
    late_put: Prefix | None = None
    cancel: Handler = Handler()
    delete: Handler = Handler()
    burial: Handler = Handler()
    sweeper: Sweeper = Sweeper()
    ended: EventName | None = None
    completions: int = 0
    # Leases whose worker crashed or was paused for too long.
    excused: frozenset[Lease] = frozenset()
    broken: str = ""


def newest(s: State) -> Event | None:
    """The newest message about the video, which is its whole state."""
    return s.events[-1] if s.events else None


def spend(s: State, fault: str) -> State:
    """Let `fault` happen once."""
    left = getattr(s.faults, fault) - 1
    return s._replace(faults=s.faults._replace(**{fault: left}))


def with_worker(s: State, i: int, **changes: Any) -> State:
    """Change worker `i`."""
    workers = list(s.workers)
    workers[i] = workers[i]._replace(**changes)
    return s._replace(workers=tuple(workers))


def with_dispatcher(s: State, i: int, **changes: Any) -> State:
    """Change dispatcher `i`."""
    dispatchers = list(s.dispatchers)
    dispatchers[i] = dispatchers[i]._replace(**changes)
    return s._replace(dispatchers=tuple(dispatchers))


def prefix(g: Guards, attempt: int, lease: Lease | None) -> Prefix:
    """Where the attempt writes: `<account>/<id>/<attempt>-<lease id>/`."""
    # One prefix for all attempts would never count as a lower attempt's.
    return Prefix(attempt, lease) if g.own_prefix else Prefix(MAX_ATTEMPTS, None)
