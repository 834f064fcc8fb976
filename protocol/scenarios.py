"""The scenarios to explore: how many processes, and how often each fault may occur."""

from __future__ import annotations

from typing import Final, NamedTuple

from protocol.state import Dispatcher, Faults, Handler, Request, State, Worker


class Scenario(NamedTuple):
    """An initial state and the faults that may occur.

    Attributes:
        name: for reports.
        faults: how often each fault may occur.
        workers: replicas of `generate`.
        dispatchers: slots of `dispatch`.
        withdrawn: whether `submit` could not confirm the request, and withdraws it.
    """

    name: str
    faults: Faults
    workers: int = 2
    dispatchers: int = 2
    withdrawn: bool = False

    def start(self) -> State:
        """All processes are idle; the request is in the stream, unless it may arrive late."""
        workers = (Worker(),) * self.workers
        start = State(workers, (Dispatcher(),) * self.dispatchers, self.faults)
        if self.faults.late_request:
            start = start._replace(request=Request(0))
        return start._replace(withdrawal=Handler("publishing")) if self.withdrawn else start


# Explored by the tests, in about 15 s.
BOUNDED: Final = (
    Scenario("every attempt crashes", Faults(worker_crash=3), 2, 1),
    Scenario("a cancel and a crash", Faults(cancel=1, worker_crash=1)),
    Scenario("a crash and a pause", Faults(worker_crash=1, worker_pause=1)),
    Scenario("pauses on both sides", Faults(worker_pause=1, dispatcher_pause=1)),
    Scenario("lost acks and a conflict", Faults(ack_lost=2, spurious_conflict=1, worker_crash=1)),
    Scenario("failed uploads", Faults(store_error=1, worker_pause=1)),
    Scenario("uploads tried again", Faults(store_error=2, cancel=1), 2, 1),
    Scenario("permanent errors", Faults(render_error=1, store_error=1, ack_lost=1)),
    Scenario("lost connections", Faults(dispatcher_crash=1, connection_lost=1, sigterm=1)),
    Scenario("delete and a crash", Faults(delete=1, worker_crash=1)),
    Scenario("an interrupted delete", Faults(delete=2, handler_crash=1, ack_lost=1), 1, 1),
    Scenario("delete and uploads", Faults(delete=1, store_error=1), 2, 1),
    Scenario("cancel against delete", Faults(cancel=1, delete=1, spurious_conflict=1)),
    Scenario("published again", Faults(republish=1, delete=1), 2, 1),
    Scenario("an unconfirmed request", Faults(ack_lost=1, handler_crash=1), 2, 1, withdrawn=True),
    Scenario(
        "a late request",
        Faults(late_request=1, worker_crash=1, spurious_conflict=1),
        2,
        1,
        withdrawn=True,
    ),
    Scenario("turns are lost", Faults(turn_lost=2, worker_crash=1)),
    Scenario("late turns", Faults(late_turn=2, cancel=1, turn_lost=1)),
    Scenario("the request is purged", Faults(request_purged=1, worker_crash=1, ack_lost=1)),
    Scenario("lost events and a crash", Faults(events_lost=1, worker_crash=1), 2, 1),
    Scenario("events lost twice", Faults(events_lost=2), 2, 1),
    Scenario("lost events and acks", Faults(events_lost=1, ack_lost=1), 1, 1),
    Scenario("lost events and uploads", Faults(events_lost=1, store_error=1), 2, 1),
    Scenario("lost events and a cancel", Faults(events_lost=1, cancel=1), 2, 1),
    Scenario("lost events, published again", Faults(events_lost=1, republish=1), 2, 1),
)

# Explored by `--full`: a minute or two, and 400 MB of memory.
FULL: Final = (
    Scenario("three lost attempts", Faults(worker_crash=2, worker_pause=1)),
    Scenario("two pauses and a lost ack", Faults(worker_pause=2, ack_lost=1)),
    Scenario("delete and a pause", Faults(delete=1, worker_pause=1)),
    Scenario("delete, crash and lost ack", Faults(delete=1, worker_crash=1, ack_lost=1)),
    Scenario("two deletes with crashes", Faults(delete=2, handler_crash=1, worker_crash=1)),
    Scenario("delete and uploads tried again", Faults(store_error=2, delete=1), 1, 1),
    Scenario("lost events, cancel and delete", Faults(events_lost=1, cancel=1, delete=1), 1, 1),
    Scenario("lost events and a pause", Faults(events_lost=1, worker_pause=1), 2, 1),
    Scenario("faults of dispatch", Faults(dispatcher_crash=1, dispatcher_pause=1, worker_pause=1)),
)

# For each guard, a minimal scenario in which a property is violated without it.
NEEDED_IN: Final = {
    "compare_and_set": Scenario("a cancel", Faults(cancel=1), 1, 1),
    "retry_unknown_outcome": Scenario("a lost ack", Faults(ack_lost=1), 1, 1),
    "read_after_conflict": Scenario("a lost ack", Faults(ack_lost=1), 1, 1),
    "retry_if_unchanged": Scenario("a late publish", Faults(ack_lost=1, spurious_conflict=1), 1, 1),
    "continue_own_lease": Scenario("a lost ack", Faults(ack_lost=1), 1, 1),
    "leader_reads": Scenario("a lagging replica", Faults(stale_read=1), 1, 1),
    "generate_lease_check": Scenario("a paused dispatcher", Faults(dispatcher_pause=1)),
    "dispatch_lease_check": Scenario(
        "crashes and a lost connection", Faults(worker_crash=2, connection_lost=1), 1, 1
    ),
    "settle_only_ended": Scenario("a crash", Faults(worker_crash=1), 1, 1),
    "remember_settled": Scenario("lost events", Faults(events_lost=1), 1, 1),
    "propose_until_ended": Scenario("a lost turn", Faults(turn_lost=1), 1, 1),
    "end_settled_turns": Scenario("lost events", Faults(events_lost=2), 2, 1),
    "end_void_turns": Scenario("a purged request", Faults(request_purged=1), 1, 1),
    "one_video_lock": Scenario("a pause", Faults(worker_pause=1), 1, 1),
    "work_outside_response": Scenario("a lost connection", Faults(connection_lost=1), 1, 1),
    "prefix_per_attempt": Scenario("a pause", Faults(worker_pause=1), 2, 1),
    "release_lease": Scenario("a failed upload", Faults(store_error=1), 1, 1),
    "tombstone_without_ttl": Scenario("a delete", Faults(delete=1), 1, 1),
    "purge_keeps_tombstone": Scenario("a delete", Faults(delete=1), 1, 1),
    "delete_whole_prefix": Scenario("a delete", Faults(delete=1), 1, 1),
    "sweep_only_lower_attempts": Scenario("no faults", Faults(), 1, 1),
    "search_only_settled": Scenario("no faults", Faults(), 1, 1),
    "search_lease_check": Scenario("lost events", Faults(events_lost=1, worker_pause=1), 2, 1),
    "record_before_completed": Scenario("lost events", Faults(events_lost=1, worker_crash=1), 1, 1),
    "keep_files_without_event": Scenario("lost events", Faults(events_lost=1), 1, 1),
}
