"""Explores every interleaving breadth-first, so counter-examples are the shortest possible."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from protocol import dispatch, fairness, generate, lost, submit
from protocol.dispatch import is_orphan, sweep, tombstone_expires
from protocol.fairness import FairGuards, FairState
from protocol.generate import lease_holder
from protocol.ledger import Step, accepts, store
from protocol.state import (
    COMPLETED,
    DELETED,
    Dispatcher,
    Guards,
    Handler,
    Request,
    Search,
    State,
    Sweeper,
    is_dispatchers_twin,
    newest,
    prefix,
    put,
    spend,
)
from protocol.turns import ack_wait, drop_request, propose, settle, turn_lost

S = TypeVar("S")
G = TypeVar("G")
NOT_LIVE = "no quiescent state can be reached any more"


@dataclass(frozen=True)
class Verdict:
    """The result of an exploration.

    Attributes:
        states: how many states were explored.
        seconds: how long that took.
        violation: the violated property; empty if all hold.
        trace: the steps of the counter-example.
        complete: false if the limit on states was reached.
    """

    states: int
    seconds: float
    violation: str = ""
    trace: tuple[str, ...] = ()
    complete: bool = True


def steps(s: State, g: Guards) -> Iterator[Step]:
    """All possible next steps, but one of two that differ only in who takes them."""
    for i in range(len(s.dispatchers)):
        if is_dispatchers_twin(s, i):
            continue
        yield from dispatch.steps(s, g, i)
    for i in range(len(s.workers)):
        yield from generate.steps(s, g, i)
    yield from submit.cancel(s, g)
    yield from submit.delete(s, g)
    yield from submit.withdraw(s, g)
    yield from sweep(s, g)
    yield from lost.search(s, g)
    yield from lost.events_lost(s)
    yield from propose(s, g)
    yield from settle(s, g)
    yield from turn_lost(s)
    yield from ack_wait(s)
    yield from lease_expires(s)
    yield from tombstone_expires(s, g)
    yield from late_arrivals(s, g)
    yield from other_clients(s)


def lease_expires(s: State) -> Iterator[Step]:
    """A lease expires only while it is not renewed: its holder is gone or paused."""
    event = newest(s)
    if event is None or not event.fresh:
        return
    worker = lease_holder(s, event)
    if worker is None or worker.paused:
        expired = s._replace(events=(*s.events[:-1], event._replace(fresh=False)))
        if worker is not None and event.lease is not None:
            expired = expired._replace(abandoned=s.abandoned | {event.lease})
        yield f"the lease of attempt {event.attempt} expires", expired


def late_arrivals(s: State, g: Guards) -> Iterator[Step]:
    """A delayed publish is stored or dropped; a delayed upload lands."""
    p = s.late_publish
    if p is not None:
        dropped = s._replace(late_publish=None)
        if accepts(s, g, p):
            yield f"a late {p.name} is stored", store(dropped, p)
        yield f"a late {p.name} is refused or dropped", dropped
    if s.late_put is not None:
        yield "a late upload lands", put(s, s.late_put)._replace(late_put=None)


def other_clients(s: State) -> Iterator[Step]:
    """What other clients do to the stream REQUESTS."""
    if s.faults.late_request:
        yield "a late request is stored", spend(s, "late_request")._replace(request=Request())
    if s.faults.republish and s.request.seq:
        again = spend(s, "republish")._replace(request=Request(s.request.seq + 1))
        yield "the request is published again", again
    if s.faults.request_purged and s.request.seq:
        yield "an operator purges the request", drop_request(spend(s, "request_purged"))


def violation_in(s: State, g: Guards) -> str:
    """The safety property that `s` violates; empty if all hold."""
    event = newest(s)
    if s.violation or event is None:
        return s.violation
    if s.terminal_event is DELETED and event.name is not DELETED:
        return f"a deleted video is back, as {event.name}"
    if s.terminal_event and not event.terminal:
        return f"a finished video is back, as {event.name}"
    if event.name is COMPLETED and prefix(g, event.attempt, event.lease) not in s.objects:
        return "a completed video has no files"
    return ""


def is_quiescent(s: State, g: Guards) -> bool:
    """Whether all processes are idle, the video is finished or gone, and no orphans are left."""
    busy = any(w.step != "idle" for w in s.workers) or any(d != Dispatcher() for d in s.dispatchers)
    handled = s.cancel == s.delete == s.withdrawal == Handler() and s.sweeper == Sweeper()
    handled = handled and s.search == Search()
    if busy or not handled or s.late_publish or s.late_put or s.turn.request:
        return False
    if s.request.seq and not s.request.settled:
        return False
    event = newest(s)
    if event is None:
        return not s.request.seq and not s.objects
    if event.name is DELETED and (len(s.events) > 1 or s.request.seq):
        return False
    return event.terminal and not any(is_orphan(p, event, g) for p in s.objects)


def explore(start: State, guards: Guards, *, limit: int = 2_000_000) -> Verdict:
    """Explore every state of one video that is reachable from `start`, up to `limit` of them."""
    return _search(start, guards, Model(steps, violation_in, is_quiescent), limit)


def explore_fairness(start: FairState, guards: FairGuards, *, limit: int = 2_000_000) -> Verdict:
    """The same for the turns of several videos."""
    model = Model(fairness.steps, fairness.violation_in, fairness.is_quiescent)
    return _search(start, guards, model, limit)


class Model(NamedTuple, Generic[S, G]):
    """The steps from a state, the property that a state violates, and whether it is quiescent."""

    steps: Callable[[S, G], Iterable[tuple[str, S]]]
    violation_in: Callable[[S, G], str]
    is_quiescent: Callable[[S, G], bool]


def _search(start: S, guards: G, model: Model[S, G], limit: int) -> Verdict:
    began = time.monotonic()
    index, states = {start: 0}, [start]
    parents: list[tuple[int, str]] = [(-1, "")]
    before: list[list[int]] = [[]]
    for number, state in enumerate(states):
        for text, following in model.steps(state, guards):
            problem = model.violation_in(following, guards)
            if problem:
                trace = (*_trace(parents, number), text)
                return Verdict(len(states), time.monotonic() - began, problem, trace)
            known = index.setdefault(following, len(states))
            if known == len(states):
                states.append(following)
                parents.append((number, text))
                before.append([])
            before[known].append(number)
        if len(states) > limit:
            return Verdict(len(states), time.monotonic() - began, complete=False)
    stuck = _not_live([model.is_quiescent(state, guards) for state in states], before)
    trace = _trace(parents, stuck) if stuck >= 0 else ()
    problem = NOT_LIVE if stuck >= 0 else ""
    return Verdict(len(states), time.monotonic() - began, problem, trace)


def _trace(parents: list[tuple[int, str]], number: int) -> tuple[str, ...]:
    texts: list[str] = []
    while number > 0:
        number, text = parents[number]
        texts.append(text)
    return tuple(reversed(texts))


def _not_live(good: list[bool], before: list[list[int]]) -> int:
    """The first state from which no quiescent one can be reached, or -1."""
    todo = deque(number for number, is_good in enumerate(good) if is_good)
    while todo:
        for number in before[todo.popleft()]:
            if not good[number]:
                good[number] = True
                todo.append(number)
    return next((number for number, is_good in enumerate(good) if not is_good), -1)
