"""How requests get their turns, and what is written down about them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.dispatch.turns import proposer
from functions.dispatch.turns.proposer import Proposer
from functions.dispatch.turns.source import TurnSource
from functions.dispatch.turns.unsettled import UnsettledRequests
from functions.dispatch.turns.usage import Usage
from functions.shared.errors import Unavailable
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.queue_state import (
    NOTHING_KNOWN,
    QueueState,
    backlog,
    newest_queue_state,
    ranges,
    read_queue_state,
    waiting_of,
)
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import (
    ALL_TURNS,
    QUEUE_SUBJECT,
    REQUESTS,
    TURNS,
    VIDEOS,
    VideoKey,
)
from functions.shared.timestamps import NANOSECONDS
from functions.shared.video.events import Cancelled, EventName
from functions.shared.video.fairness import Limits
from functions.shared.video.profiles import Profile
from tests.fakes import MemoryBus
from tests.patience import wait_until
from tests.unit.events import CREATED, publish, put_request, request_payload, started
from tests.unit.turns import put_turn, write_state


class Process:
    """A process of `dispatch` that gives turns when the test says so."""

    def __init__(
        self, bus: MemoryBus, profile: Profile, limits: Callable[[str], Limits] | None = None
    ) -> None:
        """Read the streams of `bus`."""
        self.bus = bus
        self.requests = UnsettledRequests(profile, limits or (lambda _: Limits()))
        self.proposer = Proposer(bus, self.requests, max_in_flight=bus.max_in_flight)
        self.proposer._follow()
        self.source = TurnSource(
            bus, is_settled=self.requests.is_settled, on_settled=self.requests.settle
        )

    def turns(self) -> list[str]:
        """The videos that have a turn, after more were given; the oldest turn first."""
        # It looks at once, and not only when a turn has ended or a second has passed.
        self.proposer._look_at = 0.0
        self.proposer.propose()
        subjects = self.bus.list_subjects(TURNS, ALL_TURNS)
        return [VideoKey.from_subject(subject).video_id for subject in subjects]

    def write(self) -> QueueState:
        """Write the state down, and read it."""
        self.proposer._checkpoints._due = 0.0
        self.proposer._checkpoints.write_if_due()
        return read_queue_state(self.bus)


@pytest.fixture
def bus() -> MemoryBus:
    """Empty streams, for two turns at a time."""
    return MemoryBus(max_in_flight=2)


@pytest.fixture
def process(bus: MemoryBus, profile: Profile) -> Process:
    """A process that has read the empty streams."""
    return Process(bus, profile)


def _request(bus: MemoryBus, account: str, name: str, **data: object) -> VideoKey:
    key = VideoKey(account, name)
    put_request(bus, key, **data)
    return key


def _cancel(ledger: Ledger, key: VideoKey) -> None:
    publish(ledger, ledger.read(key), EventName.CANCELLED, Cancelled(created_at=CREATED))


def test_no_more_turns_are_given_than_may_run(process: Process, bus: MemoryBus) -> None:
    """The next one follows when a turn has ended."""
    for number in range(4):
        _request(bus, "a", f"a{number}")
    assert process.turns() == ["a0", "a1"]
    delivery = process.source.fetch(0)
    assert delivery is not None
    assert delivery.message.subject == "kinora.requests.a.a0"
    assert process.turns() == ["a0", "a1"]
    delivery.ack()
    assert process.turns() == ["a1", "a2"]


def test_the_first_video_of_another_account_is_next(
    process: Process, bus: MemoryBus, ledger: Ledger
) -> None:
    """However many of one account wait; and a high priority is one among its own only."""
    first, *_ = [_request(bus, "a", f"a{number}", priority="high") for number in range(10)]
    process.turns()
    _request(bus, "b", "b0", priority="low")
    _request(bus, "b", "b1", priority="high")
    delivery = process.source.fetch(0)
    assert delivery is not None
    state = publish(ledger, Snapshot(first), EventName.STARTED, started(first))
    bus.advance(5)
    publish(ledger, state, EventName.CANCELLED, Cancelled(created_at=CREATED))
    delivery.ack()
    assert process.turns() == ["a1", "b1"]


def test_streams_are_not_asked_while_there_is_no_place(
    process: Process, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that come then cost nothing, until a turn ends."""
    monkeypatch.setattr(proposer, "FIRST_LOOK_SECONDS", 3600.0)
    for number in range(3):
        _request(bus, "a", f"a{number}")
    process.turns()
    asked: list[str] = []

    def list_subjects(stream: str, _: str) -> list[str]:
        asked.append(stream)
        return []

    monkeypatch.setattr(bus, "list_subjects", list_subjects)
    process.proposer.propose()
    assert asked == []
    delivery = process.source.fetch(0)
    assert delivery is not None
    delivery.ack()
    process.proposer.propose()
    assert TURNS in asked


def test_two_processes_give_no_video_two_turns(
    process: Process, bus: MemoryBus, profile: Profile
) -> None:
    """And not more of them together than one alone."""
    other = Process(bus, profile)
    for number in range(5):
        _request(bus, "a", f"a{number}")
    stale = other.requests.next_turn(())
    assert process.turns() == ["a0", "a1"]
    assert stale is not None
    assert other.turns() == ["a0", "a1"]


def test_a_cancelled_video_gets_no_turn(process: Process, bus: MemoryBus, ledger: Ledger) -> None:
    """It is not chosen; if it had a turn, `dispatch` ends that."""
    keys = [_request(bus, "a", f"a{number}") for number in range(4)]
    process.turns()
    for key in (keys[1], keys[2]):
        _cancel(ledger, key)
    first, second = process.source.fetch(0), process.source.fetch(0)
    assert first is not None
    assert second is None, "the turn of what has ended is dropped"
    assert process.turns() == ["a0", "a3"]


def test_a_request_that_is_gone_frees_its_place(process: Process, bus: MemoryBus) -> None:
    """An operator has purged it."""
    key = _request(bus, "a", "a0")
    process.turns()
    bus.purge(REQUESTS, key.request_subject)
    assert process.source.fetch(0) is None
    assert process.turns() == []
    assert len(process.requests) == 0


def test_a_request_that_was_published_again_is_worked_on_once(
    process: Process, bus: MemoryBus
) -> None:
    """With its new sequence; the turn for the old one is dropped."""
    _request(bus, "a", "a0")
    process.turns()
    _request(bus, "a", "a0")
    assert process.source.fetch(0) is None
    process.turns()
    delivery = process.source.fetch(0)
    assert delivery is not None
    assert delivery.message.seq == 2
    delivery.ack()
    assert process.turns() == []


def test_lost_turns_are_given_again_to_what_runs_first(
    process: Process, bus: MemoryBus, ledger: Ledger
) -> None:
    """A video that a worker has is not left without a turn while others get theirs."""
    keys = [_request(bus, "a", f"a{number}") for number in range(4)]
    process.turns()
    publish(ledger, Snapshot(keys[1]), EventName.STARTED, started(keys[1]))
    bus.purge(TURNS, ALL_TURNS)
    _request(bus, "b", "b0")
    assert process.turns()[0] == "a1"


def test_a_subject_with_invalid_tokens_gets_no_turn(process: Process, bus: MemoryBus) -> None:
    """It names no video whose events could be published, so it is logged and left alone."""
    bus.inject("kinora.requests.a.b*", request_payload({"prompt": "x"}))
    bus.inject("kinora.videos.a.b*.completed", b"{}")
    assert process.turns() == []
    assert process.write().unsettled == ()


@pytest.mark.parametrize("payload", [b"", b"x", b"-"])
def test_what_is_no_turn_is_dropped(process: Process, bus: MemoryBus, payload: bytes) -> None:
    """It would hold a place for ever."""
    bus.inject("kinora.turns.a.v", payload)
    assert process.source.fetch(0) is None
    assert bus.settled == [("kinora.turns.a.v", "term")]


def test_a_turn_is_returned_while_nats_is_away(
    process: Process, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unsettled, it would hold its place for the rest of `ack_wait`."""

    def unavailable(_stream: str, _seq: int) -> None:
        raise Unavailable

    _request(bus, "a", "a0")
    process.turns()
    monkeypatch.setattr(bus, "get_message", unavailable)
    with pytest.raises(Unavailable):
        process.source.fetch(0)
    assert bus.settled == [("kinora.turns.a.a0", "nak")]


def test_nothing_is_pulled_before_the_queue_is_known(bus: MemoryBus, profile: Profile) -> None:
    """What has ended could not be told from what has not."""
    requests = UnsettledRequests(profile, lambda _: Limits())
    with pytest.raises(Unavailable):
        requests.check()
    Proposer(bus, requests, max_in_flight=2)._follow()
    requests.check()


def test_what_has_ended_is_not_made_again_when_its_events_are_lost(
    process: Process, bus: MemoryBus, ledger: Ledger, profile: Profile
) -> None:
    """By a process that starts after the loss, and by one that saw it."""
    ended, waits = _request(bus, "a", "a0"), _request(bus, "a", "a1")
    _cancel(ledger, ended)
    state = process.write()
    assert (state.is_settled(1), state.is_settled(2), state.is_settled(3)) == (True, False, False)
    bus.purge(VIDEOS, ended.events_filter)
    assert process.turns() == [waits.video_id]
    bus.purge(TURNS, ALL_TURNS)
    assert Process(bus, profile).turns() == [waits.video_id]


def test_a_lost_queue_state_is_written_again(
    process: Process, bus: MemoryBus, ledger: Ledger, profile: Profile
) -> None:
    """From the other streams, also by a process that starts without it."""
    ended = _request(bus, "a", "a0")
    _request(bus, "a", "a1")
    _cancel(ledger, ended)
    before = process.write()
    bus.purge("QUEUE", QUEUE_SUBJECT)
    assert read_queue_state(bus) == NOTHING_KNOWN
    process.proposer._checkpoints._looked = float("-inf")
    assert process.write() == before, "by one that runs"
    bus.purge("QUEUE", QUEUE_SUBJECT)
    after = Process(bus, profile).write()
    assert (after.unsettled, after.waiting) == (before.unsettled, before.waiting)


def test_a_state_of_other_streams_is_not_believed(bus: MemoryBus, profile: Profile) -> None:
    """REQUESTS was recreated, or restored from an older backup: its sequences mean others."""
    _request(bus, "a", "a0")
    write_state(bus, created="another stream")
    assert Process(bus, profile).turns() == ["a0"]
    write_state(bus, requests=100)
    assert read_queue_state(bus) == NOTHING_KNOWN
    write_state(bus, stored=1)
    assert read_queue_state(bus) == NOTHING_KNOWN, "another request has this sequence"
    write_state(bus, videos=100, clock=7.0)
    assert (read_queue_state(bus).videos, read_queue_state(bus).clock) == (0, 7.0)


def test_the_streams_are_read_again_when_they_are_recreated(
    process: Process, bus: MemoryBus
) -> None:
    """Nothing of what waited is believed to wait."""
    _request(bus, "a", "a0")
    process.proposer.start()
    try:
        wait_until(lambda: bus.list_subjects(TURNS, ALL_TURNS), seconds=10, what="a turn is given")
        bus.lose_all_data()
        _request(bus, "b", "b0")

        def only_what_is_there() -> bool:
            # A turn that was given between the loss and its discovery is dropped.
            process.source.fetch(0)
            return bus.list_subjects(TURNS, ALL_TURNS) == ["kinora.turns.b.b0"]

        wait_until(
            only_what_is_there,
            seconds=10,
            what="only what is in the streams gets a turn",
        )
    finally:
        process.proposer.stop()


def _backlog(bus: MemoryBus) -> int:
    return backlog(bus, newest_queue_state(bus))


def _waiting(bus: MemoryBus, account: str) -> int:
    return waiting_of(bus, newest_queue_state(bus), account)


def test_what_waits_is_counted_by_account(process: Process, bus: MemoryBus) -> None:
    """Together with what came since the state was written; what has a turn does not wait."""
    for number in range(4):
        _request(bus, "a", f"a{number}")
    assert (_backlog(bus), _waiting(bus, "a")) == (4, 4)
    process.turns()
    process.write()
    assert (_backlog(bus), _waiting(bus, "a"), _waiting(bus, "b")) == (4, 2, 0)
    _request(bus, "b", "b0")
    assert (_backlog(bus), _waiting(bus, "a"), _waiting(bus, "b")) == (5, 2, 1)


def test_a_process_that_has_read_less_replaces_nothing(bus: MemoryBus, profile: Profile) -> None:
    """It was frozen, or has just started."""
    slow = Process(bus, profile)
    bus.hold_followers_back()
    _request(bus, "a", "a0")
    ahead = Process(bus, profile)
    newest = ahead.write()
    assert newest.requests == 1
    assert slow.write() == newest


def test_a_state_that_is_too_large_is_told_and_turns_go_on(
    profile: Profile, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what it is for is missing then."""
    small = MemoryBus(max_payload=100)
    process = Process(small, profile)
    small.inject("kinora.requests.a.a0", request_payload({"prompt": "x"}))
    process.proposer._work()
    assert process.turns() == ["a0"]
    assert "can't be written down" in caplog.text
    assert read_queue_state(small) == NOTHING_KNOWN


def test_a_state_is_written_only_if_it_has_changed(process: Process, bus: MemoryBus) -> None:
    """A video that reports progress changes nothing."""
    process.write()
    before = bus.last_seq("QUEUE")
    process.write()
    assert bus.last_seq("QUEUE") == before
    _request(bus, "a", "a0")
    process.write()
    assert bus.last_seq("QUEUE") == before + 1


def test_a_restart_reads_only_what_it_must(
    process: Process, bus: MemoryBus, ledger: Ledger, profile: Profile
) -> None:
    """What waits is written down, with who is running; the rest comes after that."""
    keys = [_request(bus, "a", f"a{number}") for number in range(4)]
    process.turns()
    publish(ledger, Snapshot(keys[0]), EventName.STARTED, started(keys[0]))
    _cancel(ledger, keys[1])
    before = process.write()
    assert (before.unsettled, len(before.begun)) == (((1, 1), (3, 4)), 1)
    process.proposer._stop_all()
    _cancel(ledger, keys[2])
    late = _request(bus, "b", "b0")
    bus.purge(TURNS, ALL_TURNS)
    again = Process(bus, profile)
    assert again.turns() == ["a0", late.video_id], "what runs is first, and a has used something"
    assert again.write().unsettled == ((1, 1), (4, 5))


def test_used_time_survives_a_restart(
    process: Process, bus: MemoryBus, ledger: Ledger, profile: Profile
) -> None:
    """Also that of a video that ended while no process ran."""
    for name in ("first", "second"):
        key = _request(bus, "a", name)
        process.turns()
        publish(ledger, Snapshot(key), EventName.STARTED, started(key))
        if name == "second":
            process.write()
            process.proposer._stop_all()
        bus.advance(30)
        publish(ledger, ledger.read(key), EventName.CANCELLED, Cancelled(created_at=CREATED))
    times = Process(bus, profile).requests.state("", "").times
    # A worker is believed to go on for as long as its lease.
    assert times["a"] == pytest.approx(40, abs=1)


def test_a_state_is_written_a_few_times_a_second_at_most(process: Process, bus: MemoryBus) -> None:
    """However often something changes."""
    checkpoints = process.proposer._checkpoints
    checkpoints.write_if_due()
    _request(bus, "a", "a0")
    checkpoints.write_if_due()
    assert bus.last_seq("QUEUE") == 1
    assert 0 < checkpoints.seconds_left() <= 0.25


def test_the_time_of_all_attempts_counts() -> None:
    """Each until its last event, and the last one until the end, or as long as a lease."""
    second = NANOSECONDS
    first = Usage(begun=0, last=7 * second)
    again = Usage.begin(100 * second, first)
    assert again.seconds(104 * second) == 11
    assert again.seconds(1000 * second) == 27


def test_ranges_are_the_numbers() -> None:
    """In order, each once."""
    assert list(ranges([5, 1, 2, 3, 9])) == [(1, 3), (5, 5), (9, 9)]
    assert list(ranges([])) == []
    state = QueueState(requests=10, unsettled=((1, 3), (5, 5), (9, 9)))
    assert [seq for seq in range(1, 12) if state.is_settled(seq)] == [4, 6, 7, 8, 10]
    assert state.unsettled_count == 5


def test_a_turn_of_a_test_is_one(bus: MemoryBus, process: Process) -> None:
    """What another process gives is known to this one."""
    key = _request(bus, "a", "a0")
    put_turn(bus, key)
    _request(bus, "a", "a1")
    assert process.turns() == ["a0", "a1"]
