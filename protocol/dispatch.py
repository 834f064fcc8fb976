"""The steps of `dispatch`: `RequestHandler`, `Dispatcher`, and the sweeper."""

from __future__ import annotations

from collections.abc import Iterator

from functions.shared.video.events import MAX_ATTEMPTS
from protocol.generate import connected, end_process, would_take_second
from protocol.ledger import Step, publish, read
from protocol.state import (
    COMPLETED,
    DELETED,
    FAILED,
    Dispatcher,
    Event,
    Guards,
    Prefix,
    Publication,
    State,
    Sweeper,
    is_workers_twin,
    newest,
    prefix,
    remove,
    spend,
    with_dispatcher,
    with_worker,
)
from protocol.turns import ack, drop_request, fetch, nak


def steps(s: State, g: Guards, i: int) -> Iterator[Step]:
    """The possible next steps of dispatcher `i`."""
    d = s.dispatchers[i]
    if d.paused:
        yield f"d{i} resumes", with_dispatcher(s, i, paused=False)
        return
    if d.step == "idle":
        yield from fetch(s, g, i)
        return
    yield from _faults(s, g, i)
    if d.step != "waiting":
        yield from _STEPS[d.step](s, g, i)


def handle(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`RequestHandler.handle`."""
    for found in read(s, g):
        reads, event, state = f"d{i} reads {found.description}", found.event, found.state
        if event and event.terminal:
            yield f"{reads}: ack", ack(state, i)
        elif event and event.fresh and g.dispatch_lease_check:
            yield f"{reads}: nak", nak(state, i)
        elif event and event.attempt >= MAX_ATTEMPTS:
            failing = with_dispatcher(state, i, step="failing", expected=event.seq)
            yield f"{reads}: no attempts left", failing
        else:
            yield f"{reads}: will send it", with_dispatcher(state, i, step="sending")


def fail_video(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`RequestHandler._publish_failed`: publish `failed`, unless the video has changed since."""
    for o in publish(s, g, Publication(FAILED, s.dispatchers[i].expected)):
        if o.result == "won":
            state = ack(o.state, i)
        elif o.result == "retry":
            state = with_dispatcher(o.state, i, expected=o.expected)
        else:
            state = nak(o.state, i)
        yield f"d{i} publishes failed: {o.text}", state


def send_request(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`HttpSink.send_request`: Knative picks a replica, which reads the request from REQUESTS."""
    if s.dispatchers[i].request != s.request.seq:
        yield f"d{i} sends a request that is gone: 503, nak", nak(s, i)
        return
    for number, w in enumerate(s.workers):
        if w.step == "idle":
            if is_workers_twin(s, number):
                continue
            taking = with_worker(s, number, step="taking")
            waiting = with_dispatcher(taking, i, step="waiting", worker=number)
            yield f"d{i} sends the request to w{number}", waiting
        elif would_take_second(s, g, number):
            overlapping = s._replace(violation="one worker works on two attempts at once")
            yield f"d{i} sends the request to w{number}, which is busy and takes it", overlapping
        else:
            yield f"d{i} sends the request to w{number}, which is busy: nak", nak(s, i)


def settle(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`RequestHandler._send` after the response: the stream decides, not how the response ended."""
    for found in read(s, g):
        reads = f"d{i}: the response has ended, reads {found.description}"
        if found.event and found.event.terminal:
            yield f"{reads}: ack", ack(found.state, i)
        else:
            yield f"{reads}: nak", nak(found.state, i)


_STEPS = {"delivered": handle, "failing": fail_video, "sending": send_request, "ended": settle}


def _faults(s: State, g: Guards, i: int) -> Iterator[Step]:
    d = s.dispatchers[i]
    if s.faults.dispatcher_pause:
        yield f"d{i} is paused", with_dispatcher(spend(s, "dispatcher_pause"), i, paused=True)
    if s.faults.dispatcher_crash:
        yield f"d{i} crashes", _restarted(_disconnect(spend(s, "dispatcher_crash"), g, i), i)
    if s.faults.sigterm:
        disconnected = _disconnect(spend(s, "sigterm"), g, i)
        yield f"d{i} gets SIGTERM: nak", nak(disconnected, i)
    if d.step == "waiting":
        if s.faults.connection_lost:
            disconnected = _disconnect(spend(s, "connection_lost"), g, i)
            yield f"the connection of d{i} to w{d.worker} is lost", disconnected
        if s.workers[d.worker].paused:
            yield f"d{i} gives up on w{d.worker}, which is silent", _disconnect(s, g, i)


def _restarted(s: State, i: int) -> State:
    return s._replace(dispatchers=(*s.dispatchers[:i], Dispatcher(), *s.dispatchers[i + 1 :]))


def _disconnect(s: State, g: Guards, i: int) -> State:
    """Close the connection of dispatcher `i`; work inside the response would end with it."""
    w = s.dispatchers[i].worker
    if w < 0:
        return s
    s = with_dispatcher(s, i, step="ended", worker=-1)
    return s if g.work_outside_response or connected(s, w) else end_process(s, w)


def sweep(s: State, g: Guards) -> Iterator[Step]:
    """`Sweeper.sweep`: runs at any time; others may act between its read and its write."""
    if s.sweeper.step == "deleting":
        left = remove(s, s.sweeper.orphans)
        yield "the sweeper removes files", left._replace(sweeper=Sweeper())
    elif s.sweeper.step == "failing":
        for o in publish(s, g, Publication(FAILED, s.sweeper.expected)):
            retry = o.result == "retry"
            after = s.sweeper._replace(expected=o.expected) if retry else Sweeper()
            yield f"the sweeper publishes failed: {o.text}", o.state._replace(sweeper=after)
    else:
        for found in read(s, g):
            if found.event is not None:
                yield from _sweep(found.state, g, found.event)


def _sweep(s: State, g: Guards, event: Event) -> Iterator[Step]:
    orphans = frozenset(p for p in s.objects if is_orphan(p, event, g))
    if orphans:
        deleting = Sweeper("deleting", orphans=orphans)
        yield f"the sweeper reads {event.name}: orphans", s._replace(sweeper=deleting)
    if event.name is DELETED:
        if len(s.events) > 1:
            yield "the sweeper finishes the purge of events", purge_events(s, g, event.seq)
        if s.request.seq:
            yield "the sweeper purges the request", drop_request(s)
    elif event.running and not event.fresh and not s.request.seq:
        failing = Sweeper("failing", expected=event.seq)
        yield "the sweeper finds an abandoned video", s._replace(sweeper=failing)


def is_orphan(p: Prefix, event: Event, g: Guards) -> bool:
    """`Sweeper._is_orphan`, but at any age, which includes the old files it is limited to."""
    if event.name is COMPLETED:
        return p != prefix(g, event.attempt, event.lease)
    if event.terminal or not g.sweep_only_lower_attempts:
        return True
    return p.attempt < event.attempt


def purge_events(s: State, g: Guards, tombstone: int) -> State:
    """`Bus.purge` of the video's events below the tombstone."""
    keep = g.purge_keeps_tombstone
    return s._replace(events=tuple(e for e in s.events if keep and e.seq >= tombstone))


def tombstone_expires(s: State, g: Guards) -> Iterator[Step]:
    """The effect of a TTL on `deleted`."""
    event = newest(s)
    if event and event.name is DELETED and not g.tombstone_without_ttl:
        yield "the tombstone's TTL expires", s._replace(events=s.events[:-1])
