"""What is explored: for every scenario, how many processes, and how often each fault may come."""

from __future__ import annotations

from typing import Final, NamedTuple

from protocol.state import Dispatcher, Faults, Handler, Request, State, Worker


class Scenario(NamedTuple):
    """A start, and the faults that may befall it."""

    name: str
    faults: Faults
    workers: int = 2
    dispatchers: int = 2
    buried: bool = False

    def start(self) -> State:
        """Everybody is idle, and the request in the stream, unless it may only come late."""
        workers = (Worker(),) * self.workers
        start = State(workers, (Dispatcher(),) * self.dispatchers, self.faults)
        if self.faults.late_request:
            start = start._replace(request=Request(0, "acked"))
        return start._replace(burial=Handler("publishing")) if self.buried else start


# Explored by the tests, in some 20 s.
BOUNDED: Final = (
    Scenario("every attempt crashes", Faults(worker_crash=3), 2, 1),
    Scenario("a cancel and a crash", Faults(cancel=1, worker_crash=1)),
    Scenario("a crash and a pause", Faults(worker_crash=1, worker_pause=1)),
    Scenario("pauses of both sides", Faults(worker_pause=1, dispatcher_pause=1)),
    Scenario("answers lost or wrong", Faults(answer_lost=2, conflict=1, worker_crash=1)),
    Scenario("uploads that fail", Faults(store_fails=1, worker_pause=1)),
    Scenario("errors for good", Faults(render_fails=1, store_fails=1, answer_lost=1)),
    Scenario("connections", Faults(dispatcher_crash=1, connection_lost=1, sigterm=1)),
    Scenario("delete and a crash", Faults(delete=1, worker_crash=1)),
    Scenario("delete in doubt", Faults(delete=2, handler_crash=1, answer_lost=1), 1, 1),
    Scenario("delete and uploads", Faults(delete=1, store_fails=1), 2, 1),
    Scenario("cancel against delete", Faults(cancel=1, delete=1, conflict=1)),
    Scenario("published again", Faults(republish=1, delete=1), 2, 1),
    Scenario("a ghost", Faults(answer_lost=1, handler_crash=1), 2, 1, buried=True),
    Scenario("a late ghost", Faults(late_request=1, worker_crash=1, conflict=1), 2, 1, buried=True),
    Scenario("request purged", Faults(request_purged=1, worker_crash=1, answer_lost=1)),
)

# Explored by `--full`: a minute or two, and 400 MB of memory.
FULL: Final = (
    Scenario("every attempt is lost", Faults(worker_crash=2, worker_pause=1)),
    Scenario("two pauses and lost answers", Faults(worker_pause=2, answer_lost=1)),
    Scenario("delete and a pause", Faults(delete=1, worker_pause=1)),
    Scenario("delete, crash, lost answers", Faults(delete=1, worker_crash=1, answer_lost=1)),
    Scenario("delete, twice, with crashes", Faults(delete=2, handler_crash=1, worker_crash=1)),
    Scenario("dispatch in trouble", Faults(dispatcher_crash=1, dispatcher_pause=1, worker_pause=1)),
)

# For each guard the least that shows what it is there for.
SHOWN_BY: Final = {
    "compare_and_set": Scenario("a cancel", Faults(cancel=1), 1, 1),
    "repeat_unknown": Scenario("a lost answer", Faults(answer_lost=1), 1, 1),
    "read_back": Scenario("a lost answer", Faults(answer_lost=1), 1, 1),
    "sequence_rule": Scenario("a late publish", Faults(answer_lost=1, conflict=1), 1, 1),
    "own_lease_rule": Scenario("a lost answer", Faults(answer_lost=1), 1, 1),
    "leader_reads": Scenario("a lagging replica", Faults(stale_read=1), 1, 1),
    "lease_check": Scenario("a pause of dispatch", Faults(dispatcher_pause=1)),
    "dispatch_lease_check": Scenario(
        "crashes and a lost connection", Faults(worker_crash=2, connection_lost=1), 1, 1
    ),
    "ack_only_finished": Scenario("a crash", Faults(worker_crash=1), 1, 1),
    "one_video_lock": Scenario("a pause", Faults(worker_pause=1), 1, 1),
    "work_outside_response": Scenario("a lost connection", Faults(connection_lost=1), 1, 1),
    "own_prefix": Scenario("a pause", Faults(worker_pause=1), 2, 1),
    "release": Scenario("a failed upload", Faults(store_fails=1), 1, 1),
    "tombstone_kept": Scenario("a delete", Faults(delete=1), 1, 1),
    "purge_keeps_tombstone": Scenario("a delete", Faults(delete=1), 1, 1),
    "delete_whole_prefix": Scenario("a delete", Faults(delete=1), 1, 1),
    "sweep_lower_attempts": Scenario("no fault at all", Faults(), 1, 1),
}
