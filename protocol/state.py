"""The state of the model: the streams, the object store, and the next step of each process.

States are nested tuples, so equal states compare equal. Names match the code; workers and
dispatchers are identified by number.
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
    """The protocol's safeguards. Each can be switched off to show what it prevents."""

    compare_and_set: bool = True
    retry_unknown_outcome: bool = True
    read_after_conflict: bool = True
    retry_if_unchanged: bool = True
    continue_own_lease: bool = True
    leader_reads: bool = True
    generate_lease_check: bool = True
    dispatch_lease_check: bool = True
    settle_only_ended: bool = True
    one_video_lock: bool = True
    work_outside_response: bool = True
    prefix_per_attempt: bool = True
    release_lease: bool = True
    tombstone_without_ttl: bool = True
    purge_keeps_tombstone: bool = True
    delete_whole_prefix: bool = True
    sweep_only_lower_attempts: bool = True
    search_only_settled: bool = True
    remember_settled: bool = True
    propose_until_ended: bool = True
    end_void_turns: bool = True
    end_settled_turns: bool = True
    search_lease_check: bool = True
    record_before_completed: bool = True
    keep_files_without_event: bool = True


class Faults(NamedTuple):
    """How often each fault or action of a client may still occur."""

    worker_crash: int = 0
    worker_pause: int = 0
    dispatcher_crash: int = 0
    dispatcher_pause: int = 0
    sigterm: int = 0
    connection_lost: int = 0
    ack_lost: int = 0
    spurious_conflict: int = 0
    stale_read: int = 0
    store_error: int = 0
    render_error: int = 0
    handler_crash: int = 0
    late_request: int = 0
    turn_lost: int = 0
    late_turn: int = 0
    republish: int = 0
    request_purged: int = 0
    events_lost: int = 0
    cancel: int = 0
    delete: int = 0


class Lease(NamedTuple):
    """The id of a lease. In the code it is 128 random bits; here these fields make it unique.

    Attributes:
        worker: the number of the worker that holds it.
        life: the worker's process, counted from 0.
        after: the sequence that its claim follows.
    """

    worker: int
    life: int
    after: int


class Prefix(NamedTuple):
    """The prefix of an attempt's files in the store."""

    attempt: int
    lease: Lease | None


class Event(NamedTuple):
    """A message of the stream VIDEOS; `fresh` until its lease expires."""

    seq: int
    name: EventName
    attempt: int = 0
    lease: Lease | None = None
    fresh: bool = False
    released: bool = False

    @property
    def running(self) -> bool:
        """A worker renders the video, or has released it for another attempt."""
        return self.name in RUNNING

    @property
    def terminal(self) -> bool:
        """The video is finished; it can only be deleted."""
        return self.name in TERMINAL


class Publication(NamedTuple):
    """An event to publish, and the sequence that it expects to follow.

    `for_lost` marks an event for a video that is believed to have lost its own.
    """

    name: EventName
    expected: int
    attempt: int = 0
    lease: Lease | None = None
    released: bool = False
    for_lost: bool = False


class Request(NamedTuple):
    """The message of REQUESTS (`seq` 0: gone).

    Attributes:
        seq: its sequence.
        settled: the stream QUEUE says that the video has ended.
        proposed: it had a turn; only used without the guard `propose_until_ended`.
    """

    seq: int = 1
    settled: bool = False
    proposed: bool = False


class Turn(NamedTuple):
    """The message of TURNS (`request` 0: none), and its delivery.

    Attributes:
        request: the sequence of the request that it carries.
        holder: the dispatcher that it was delivered to, or -1.
    """

    request: int = 0
    holder: int = -1


class Worker(NamedTuple):
    """One replica of `generate`. It holds the one-video lock unless it is idle."""

    step: str = "idle"
    expected: int = 0
    attempt: int = 0
    lease: Lease | None = None
    final_event: EventName | None = None
    renewed: bool = False
    paused: bool = False
    draining: bool = False
    life: int = 0


class Dispatcher(NamedTuple):
    """One slot of `dispatch`; `worker` is the number of the worker it is connected to, or -1."""

    step: str = "idle"
    request: int = 0
    expected: int = 0
    worker: int = -1
    paused: bool = False


class Handler(NamedTuple):
    """A request to `submit`; `to_remove` holds the files that existed at its tombstone."""

    step: str = "idle"
    expected: int = 0
    to_remove: frozenset[Prefix] = frozenset()


class Sweeper(NamedTuple):
    """The sweeper of `dispatch`, between reading the state and acting on it."""

    step: str = "idle"
    expected: int = 0
    orphans: frozenset[Prefix] = frozenset()


class Search(NamedTuple):
    """The search for lost videos, or `restore-videos`, between reading the state and publishing.

    `record` is what was found in the store.
    """

    step: str = "idle"
    expected: int = 0
    record: Prefix | None = None


class State(NamedTuple):
    """One state; `records` are those of the `objects` that have one.

    The fields from `terminal_event` on are history, used by the properties alone, but for `lost`:
    the stream has lost events.
    """

    workers: tuple[Worker, ...]
    dispatchers: tuple[Dispatcher, ...]
    faults: Faults
    request: Request = Request()
    turn: Turn = Turn()
    events: tuple[Event, ...] = ()
    next_seq: int = 1
    objects: frozenset[Prefix] = frozenset()
    records: frozenset[Prefix] = frozenset()
    late_publish: Publication | None = None
    late_put: Prefix | None = None
    cancel: Handler = Handler()
    delete: Handler = Handler()
    withdrawal: Handler = Handler()
    sweeper: Sweeper = Sweeper()
    search: Search = Search()
    terminal_event: EventName | None = None
    completions: int = 0
    # Leases whose worker crashed, or was paused beyond their expiry.
    abandoned: frozenset[Lease] = frozenset()
    lost: bool = False
    # The files that the last `completed` has named, whether the event was lost or not.
    completed: Prefix | None = None
    violation: str = ""


def newest(s: State) -> Event | None:
    """The newest event of the video, which is its complete state."""
    return s.events[-1] if s.events else None


def spend(s: State, fault: str) -> State:
    """Use up one occurrence of `fault`."""
    left = getattr(s.faults, fault) - 1
    return s._replace(faults=s.faults._replace(**{fault: left}))


def put(s: State, own: Prefix) -> State:
    """Store a file. It replaces an earlier one, which a delete then need not remove."""
    to_remove = s.delete.to_remove - {own}
    return s._replace(objects=s.objects | {own}, delete=s.delete._replace(to_remove=to_remove))


def remove(s: State, prefixes: frozenset[Prefix]) -> State:
    """Remove files, with their records."""
    return s._replace(objects=s.objects - prefixes, records=s.records - prefixes)


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


def is_dispatchers_twin(s: State, i: int) -> bool:
    """Whether swapping dispatcher `i` and one before it changes nothing.

    Their steps then lead to states that are equal up to their numbers, so one of them need not be
    explored. Only the delivery of the turn names a dispatcher.
    """
    d, holder = s.dispatchers[i], s.turn.holder
    return holder != i and any(d == s.dispatchers[j] and holder != j for j in range(i))


def is_workers_twin(s: State, i: int) -> bool:
    """The same for idle worker `i`, as long as no dispatcher's connection and no lease names one.

    A lease is in an event, or still on its way, or its worker has ended before it was stored.
    """
    named = s.next_seq > 1 or s.late_publish is not None or bool(s.abandoned)
    named = named or any(d.worker >= 0 for d in s.dispatchers)
    return not named and s.workers[i] in s.workers[:i]


def prefix(g: Guards, attempt: int, lease: Lease | None) -> Prefix:
    """The attempt's prefix: `<account>/<id>/<attempt>-<lease id>/`."""
    # Without the guard, the shared prefix must not count as a lower attempt's.
    return Prefix(attempt, lease) if g.prefix_per_attempt else Prefix(MAX_ATTEMPTS, None)
