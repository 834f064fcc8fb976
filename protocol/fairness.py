"""Several videos of two accounts, and two processes of `dispatch` that give them turns.

What happens to one video between its turn and its end is the subject of the other modules; here it
is three steps. The choice is that of `functions/shared/video/fairness.py`, with videos that all
cost the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

# The phases of a video.
ABSENT, WAITING, WORKED_ON, ENDED = range(4)
ACCOUNTS: Final = (0, 1)
NAMES: Final = "AB"
# Both processes may have chosen before a request arrived, and the first turn after it may be a tie.
MOST_OVERTAKEN: Final = 3

FairStep = tuple[str, "FairState"]


@dataclass(frozen=True)
class FairGuards:
    """What keeps turns bounded and fair. Each can be switched off to show what it prevents."""

    bounded_stream: bool = True
    one_turn_a_subject: bool = True
    least_served_first: bool = True
    catch_up_on_return: bool = True


class FairFaults(NamedTuple):
    """How often each fault may still occur."""

    turns_lost: int = 0
    publish_late: int = 0


class Proposer(NamedTuple):
    """A process of `dispatch`; `chosen` is the video that it is about to propose, or -1."""

    chosen: int = -1


class FairState(NamedTuple):
    """One state.

    Attributes:
        accounts: whose each video is; videos are in the order of their requests.
        limit: MAX_IN_FLIGHT.
        faults: those that may still occur.
        phases: of each video.
        turns: the videos that have a turn, in the stream's order.
        proposers: the processes.
        late: a video whose turn may still arrive, or -1.
        times: the virtual time of each account, with what its turns will cost.
        clock: the virtual time of the account that was chosen last.
        overtaken: how many turns others got since each account waits for one.
    """

    accounts: tuple[int, ...]
    limit: int
    faults: FairFaults = FairFaults()
    phases: tuple[int, ...] = ()
    turns: tuple[int, ...] = ()
    proposers: tuple[Proposer, ...] = (Proposer(), Proposer())
    late: int = -1
    times: tuple[int, ...] = (0, 0)
    clock: int = 0
    overtaken: tuple[int, ...] = (0, 0)


def steps(s: FairState, g: FairGuards) -> Iterator[FairStep]:
    """All possible next steps."""
    yield from arrive(s, g)
    for i, proposer in enumerate(s.proposers):
        if proposer in s.proposers[:i]:
            continue  # the same step of an equal process
        yield from propose(s, g, i)
    yield from late_turn(s, g)
    yield from work(s)
    if s.faults.turns_lost and s.turns:
        left = s.faults._replace(turns_lost=s.faults.turns_lost - 1)
        yield "TURNS is lost", s._replace(turns=(), faults=left)


def arrive(s: FairState, g: FairGuards) -> Iterator[FairStep]:
    """The next request of an account is stored."""
    for account in ACCOUNTS:
        video = _first(s, account, ABSENT)
        if video < 0:
            continue
        times = list(s.times)
        if g.catch_up_on_return and _first(s, account, WAITING) < 0:
            times[account] = max(times[account], s.clock)
        arrived = _with_phase(s, video, WAITING)._replace(times=tuple(times))
        yield f"{_name(s, video)} is requested", arrived


def propose(s: FairState, g: FairGuards, i: int) -> Iterator[FairStep]:
    """`Proposer.propose`: look, choose, then publish; others act in between."""
    chosen = s.proposers[i].chosen
    if chosen < 0:
        video = choose(s, g)
        if video >= 0 and len(s.turns) < s.limit:
            yield f"p{i} chooses {_name(s, video)}", _with_chosen(s, i, video)
        return
    idle = _with_chosen(s, i, -1)
    yield f"p{i} publishes the turn of {_name(s, chosen)}", store(idle, g, chosen)
    if s.faults.publish_late and s.late < 0:
        left = s.faults._replace(publish_late=s.faults.publish_late - 1)
        yield f"p{i} publishes late", idle._replace(late=chosen, faults=left)


def choose(s: FairState, g: FairGuards) -> int:
    """The next video without a turn, or -1: first one that has lost its turn."""
    lost = [v for v, phase in enumerate(s.phases) if phase == WORKED_ON and v not in s.turns]
    if lost:
        return lost[0]
    waiting = [v for v, phase in enumerate(s.phases) if phase == WAITING and v not in s.turns]
    if not g.least_served_first:
        return min(waiting, default=-1)
    return min(waiting, key=lambda v: (s.times[s.accounts[v]], v), default=-1)


def late_turn(s: FairState, g: FairGuards) -> Iterator[FairStep]:
    """A delayed publish arrives, or never does."""
    if s.late >= 0:
        arrived = s._replace(late=-1)
        yield f"the late turn of {_name(s, s.late)} arrives", store(arrived, g, s.late)
        yield "a late turn is dropped", arrived


def store(s: FairState, g: FairGuards, video: int) -> FairState:
    """JetStream stores a turn, or refuses it."""
    full = len(s.turns) >= s.limit and g.bounded_stream
    if full or (video in s.turns and g.one_turn_a_subject):
        return s
    given = s._replace(turns=(*s.turns, video))
    account = s.accounts[video]
    if s.phases[video] != WAITING or video in s.turns:
        return given
    times, overtaken = list(s.times), list(s.overtaken)
    overtaken[account] = 0
    for other in ACCOUNTS:
        if other != account and any(
            s.phases[v] == WAITING and v not in given.turns
            for v, owner in enumerate(s.accounts)
            if owner == other
        ):
            overtaken[other] = min(overtaken[other] + 1, MOST_OVERTAKEN + 1)
    clock = max(s.clock, times[account])
    times[account] += 1
    return given._replace(times=tuple(times), overtaken=tuple(overtaken), clock=clock)


def work(s: FairState) -> Iterator[FairStep]:
    """A free worker takes a video that has a turn, and ends it; then `dispatch` ends the turn.

    There are as many workers as there may be turns.
    """
    for video in dict.fromkeys(s.turns):
        phase = s.phases[video]
        if phase == WAITING and s.phases.count(WORKED_ON) < s.limit:
            yield f"{_name(s, video)} is worked on", _with_phase(s, video, WORKED_ON)
        if phase == ENDED:
            turns = tuple(v for v in s.turns if v != video)
            yield f"the turn of {_name(s, video)} ends", s._replace(turns=turns)
    for video, phase in enumerate(s.phases):
        if phase == WORKED_ON:
            yield f"{_name(s, video)} ends", _with_phase(s, video, ENDED)


def violation_in(s: FairState, _: FairGuards) -> str:
    """The safety property that `s` violates; empty if all hold."""
    if len(s.turns) > s.limit:
        return f"{len(s.turns)} videos have a turn, and the limit is {s.limit}"
    if len(set(s.turns)) < len(s.turns):
        return "a video has two turns"
    for account in ACCOUNTS:
        if s.overtaken[account] > MOST_OVERTAKEN:
            return f"{NAMES[account]} waits while the other gets {s.overtaken[account]} turns"
    return ""


def is_quiescent(s: FairState, _: FairGuards) -> bool:
    """Whether all videos have ended, and no turn is left."""
    return set(s.phases) == {ENDED} and not s.turns and s.late < 0


def _first(s: FairState, account: int, phase: int) -> int:
    videos = (v for v, owner in enumerate(s.accounts) if owner == account)
    return next((v for v in videos if s.phases[v] == phase and v not in s.turns), -1)


def _name(s: FairState, video: int) -> str:
    account = s.accounts[video]
    return f"{NAMES[account]}{s.accounts[: video + 1].count(account)}"


def _with_phase(s: FairState, video: int, phase: int) -> FairState:
    return s._replace(phases=(*s.phases[:video], phase, *s.phases[video + 1 :]))


def _with_chosen(s: FairState, i: int, video: int) -> FairState:
    proposers = (*s.proposers[:i], Proposer(video), *s.proposers[i + 1 :])
    return s._replace(proposers=proposers)


class FairScenario(NamedTuple):
    """An initial state: whose the videos are, in the order in which they would be requested."""

    name: str
    accounts: tuple[int, ...]
    limit: int
    faults: FairFaults = FairFaults()
    waiting: int = 0

    def start(self) -> FairState:
        """The first `waiting` videos wait; the others are requested at any time."""
        count = len(self.accounts)
        phases = (WAITING,) * self.waiting + (ABSENT,) * (count - self.waiting)
        return FairState(self.accounts, self.limit, self.faults, phases)


A, B = ACCOUNTS
FAIR_BOUNDED: Final = (
    FairScenario("two accounts", (A, A, A, A, B), 2, waiting=4),
    FairScenario("one at a time", (A, A, A, A, A, B, B), 1, waiting=5),
    FairScenario("late turns", (A, A, B), 2, FairFaults(publish_late=2), 2),
    FairScenario("TURNS is lost", (A, A, B), 2, FairFaults(turns_lost=2), 2),
)
FAIR_NEEDED_IN: Final = {
    "bounded_stream": FairScenario("two processes", (A, B), 1, waiting=2),
    "one_turn_a_subject": FairScenario("two processes", (A,), 2, waiting=1),
    "least_served_first": FairScenario("a long queue", (A, A, A, A, A, A, B), 1, waiting=6),
    "catch_up_on_return": FairScenario(
        "a late account", (A, A, A, A, A, A, B, B, B, B), 1, waiting=6
    ),
}
