"""Every order of events, breadth first: what is found first is the shortest way to it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from protocol import dispatch, generate, submit
from protocol.dispatch import is_orphan, sweep, tombstone_expires
from protocol.generate import holder
from protocol.ledger import Step, accepts, store
from protocol.requests import ack_wait, gone
from protocol.state import (
    COMPLETED,
    DELETED,
    Dispatcher,
    Guards,
    Handler,
    Request,
    State,
    Sweeper,
    newest,
    prefix,
    spend,
)

NO_END = "there is no way to a clean end any more"


@dataclass(frozen=True)
class Verdict:
    """What an exploration has found; `broken` is empty if every promise holds."""

    states: int
    seconds: float
    broken: str = ""
    trace: tuple[str, ...] = ()
    complete: bool = True


def steps(s: State, g: Guards) -> Iterator[Step]:
    """Everything that may happen next."""
    for i in range(len(s.dispatchers)):
        yield from dispatch.steps(s, g, i)
    for i in range(len(s.workers)):
        yield from generate.steps(s, g, i)
    yield from submit.cancel(s, g)
    yield from submit.delete(s, g)
    yield from submit.bury(s, g)
    yield from sweep(s, g)
    yield from ack_wait(s)
    yield from lease_expires(s)
    yield from tombstone_expires(s, g)
    yield from late(s, g)
    yield from others(s)


def lease_expires(s: State) -> Iterator[Step]:
    """A lease runs out only while nobody renews it: its holder is gone, or paused."""
    event = newest(s)
    if event is None or not event.fresh:
        return
    worker = holder(s, event)
    if worker is None or worker.paused:
        expired = s._replace(events=(*s.events[:-1], event._replace(fresh=False)))
        if worker is not None and event.lease is not None:
            expired = expired._replace(excused=s.excused | {event.lease})
        yield f"the lease of attempt {event.attempt} runs out", expired


def late(s: State, g: Guards) -> Iterator[Step]:
    """What was on its way for long arrives, or never does."""
    p = s.late_publish
    if p is not None:
        dropped = s._replace(late_publish=None)
        if accepts(s, g, p):
            yield f"a late {p.name} is stored", store(dropped, p)
        yield f"a late {p.name} is refused or dropped", dropped
    if s.late_put is not None:
        landed = s._replace(objects=s.objects | {s.late_put}, late_put=None)
        yield "a late upload lands", landed


def others(s: State) -> Iterator[Step]:
    """What others do to the stream REQUESTS."""
    if s.faults.late_request:
        yield "a late request is stored", spend(s, "late_request")._replace(request=Request())
    if s.faults.republish and s.request.seq:
        again = spend(s, "republish")._replace(request=Request(s.request.seq + 1))
        yield "the request is published again", again
    if s.faults.request_purged and s.request.seq:
        yield "someone purges the request", gone(spend(s, "request_purged"))


def broken(s: State, g: Guards) -> str:
    """The promise that does not hold in this moment, or nothing."""
    event = newest(s)
    if s.broken or event is None:
        return s.broken
    if s.ended is DELETED and event.name is not DELETED:
        return f"a deleted video is back, as {event.name}"
    if s.ended and not event.terminal:
        return f"a finished video is back, as {event.name}"
    if event.name is COMPLETED and prefix(g, event.attempt, event.lease) not in s.objects:
        return "a completed video has no files"
    return ""


def clean_end(s: State, g: Guards) -> bool:
    """Nobody has anything to do any more, and nothing is left that nobody needs."""
    busy = any(w.step != "idle" for w in s.workers) or any(d != Dispatcher() for d in s.dispatchers)
    handled = s.cancel == s.delete == s.burial == Handler() and s.sweeper == Sweeper()
    if busy or not handled or s.late_publish or s.late_put or s.request.place != "acked":
        return False
    event = newest(s)
    if event is None:
        return not s.request.seq and not s.objects
    if event.name is DELETED and (len(s.events) > 1 or s.request.seq):
        return False
    return event.terminal and not any(is_orphan(p, event, g) for p in s.objects)


def explore(start: State, guards: Guards, *, limit: int = 2_000_000) -> Verdict:
    """Look at every moment that `start` can lead to, at most `limit` of them."""
    began = time.monotonic()
    index, states = {start: 0}, [start]
    parents: list[tuple[int, str]] = [(-1, "")]
    before: list[list[int]] = [[]]
    for number, state in enumerate(states):
        for text, following in steps(state, guards):
            problem = broken(following, guards)
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
    stuck = _without_end([clean_end(state, guards) for state in states], before)
    trace = _trace(parents, stuck) if stuck >= 0 else ()
    problem = NO_END if stuck >= 0 else ""
    return Verdict(len(states), time.monotonic() - began, problem, trace)


def _trace(parents: list[tuple[int, str]], number: int) -> tuple[str, ...]:
    texts: list[str] = []
    while number > 0:
        number, text = parents[number]
        texts.append(text)
    return tuple(reversed(texts))


def _without_end(good: list[bool], before: list[list[int]]) -> int:
    """The first state from which no good one can be reached, or -1."""
    todo = deque(number for number, is_good in enumerate(good) if is_good)
    while todo:
        for number in before[todo.popleft()]:
            if not good[number]:
                good[number] = True
                todo.append(number)
    return next((number for number, is_good in enumerate(good) if not is_good), -1)
