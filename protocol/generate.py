"""The steps of `generate`: `Worker`, `HeldLease` and `Attempt`."""

from __future__ import annotations

from collections.abc import Iterator

from functions.shared.video.events import MAX_ATTEMPTS, EventName
from protocol.ledger import Outcome, Step, publish, read
from protocol.requests import nak
from protocol.state import (
    COMPLETED,
    FAILED,
    PROGRESSED,
    STARTED,
    Event,
    Guards,
    Lease,
    Publication,
    State,
    Worker,
    newest,
    prefix,
    spend,
    with_dispatcher,
    with_worker,
)

# Steps at which a lease is drawn, and may be in the stream.
HOLDING = frozenset({"claiming", "rendering", "failing", "ending"})
WORKING = HOLDING - {"claiming"}


def steps(s: State, g: Guards, i: int) -> Iterator[Step]:
    """What worker `i` may do next."""
    w = s.workers[i]
    if w.step == "idle":
        return
    if w.paused:
        yield f"w{i} goes on", with_worker(s, i, paused=False)
        return
    yield from _troubles(s, g, i)
    yield from _STEPS[w.step](s, g, i)


def claim(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`Worker._claim`, up to the decision; the request itself was read when it was taken."""
    w = s.workers[i]
    for before in read(s, g):
        reads = f"w{i} reads {before.shown}"
        event = before.event
        leased = event is not None and event.fresh and g.lease_check
        attempt = event.attempt if event else 0
        if (event and event.terminal) or leased or attempt >= MAX_ATTEMPTS:
            yield f"{reads}: 503", free(before.state, i, refused=True)
        else:
            lease = Lease(i, w.life, before.seq)
            changes = {"expected": before.seq, "attempt": attempt + 1, "lease": lease}
            claiming = with_worker(before.state, i, step="claiming", **changes)
            yield f"{reads}, will claim attempt {attempt + 1}", claiming


def start(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`Worker._claim`: publish `started`."""
    for o in _say(s, g, i, STARTED):
        if o.result == "won":
            state = with_worker(o.state, i, step="rendering", expected=o.expected)
        elif o.result == "again":
            state = with_worker(o.state, i, expected=o.expected)
        else:
            state = free(o.state, i, refused=True)
        yield f"w{i} publishes started: {o.text}", state


def work(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`Attempt._make`, with the lease's timer and hints beside it."""
    w = s.workers[i]
    if not w.renewed:
        yield from renew(s, g, i)
    yield from look(s, g, i)
    yield from put(s, g, i)
    if s.faults.render_fails:
        failing = with_worker(spend(s, "render_fails"), i, step="failing", last_word=FAILED)
        yield f"w{i} can't make this video at all", failing


def renew(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`HeldLease._keep`. Once an attempt: more would show nothing new.

    While it is unknown whether it was stored, the work goes on, as in the code.
    """
    for o in _say(s, g, i, PROGRESSED):
        if o.result == "lost":
            state = with_worker(o.state, i, step="lost")
        else:
            renewed = o.result == "won"
            state = with_worker(o.state, i, expected=o.expected, renewed=renewed)
        yield f"w{i} renews its lease: {o.text}", state


def look(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`HeldLease._look`: there was news, perhaps only of a publish that was refused."""
    for found in read(s, g):
        event = found.event
        if event is None or event.terminal or event.lease != s.workers[i].lease:
            lost = with_worker(found.state, i, step="lost")
            yield f"w{i} looks after its video, reads {found.shown}: lost", lost


def put(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`Attempt._put`: what an error says about an upload is not always true."""
    w = s.workers[i]
    own = prefix(g, w.attempt, w.lease)
    stored = s._replace(objects=s.objects | {own})
    yield f"w{i} uploads", with_worker(stored, i, step="ending", last_word=COMPLETED)
    if not s.faults.store_fails:
        return
    broken = with_worker(spend(s, "store_fails"), i, step="failing", last_word=PROGRESSED)
    yield f"w{i}: the upload fails", broken
    yield f"w{i}: the upload fails, but is stored", broken._replace(objects=stored.objects)
    if s.late_put is None:
        yield f"w{i}: the upload times out, and is on its way", broken._replace(late_put=own)


def fail(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`Attempt._fail`: first remove the files, then say so, for good or to be tried again."""
    silent = s.workers[i].last_word is PROGRESSED and not g.release
    for text, cleaned in clean_up(s, g, i):
        if silent:
            yield f"{text} and says nothing", free(cleaned, i)
        else:
            yield text, with_worker(cleaned, i, step="ending")


def end(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`HeldLease.end` and `release`: the last word."""
    word = s.workers[i].last_word
    if word is None:
        raise ValueError("a worker that ends has something to say")
    released = word is PROGRESSED
    for o in _say(s, g, i, word, released=released):
        if o.result == "won":
            state = free(o.state, i)
        elif o.result == "again":
            state = with_worker(o.state, i, expected=o.expected)
        else:
            state = with_worker(o.state, i, step="lost")
        yield f"w{i} publishes {'the release' if released else word}: {o.text}", state


def leave(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`Attempt.run` after a lost race: remove the own files, and publish nothing."""
    for text, cleaned in clean_up(s, g, i):
        yield f"{text}, since it has lost the video", free(cleaned, i)


_STEPS = {
    "taking": claim,
    "claiming": start,
    "rendering": work,
    "failing": fail,
    "ending": end,
    "lost": leave,
}


def clean_up(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`Attempt._clean_up`; what can't be removed is left to the sweeper."""
    w = s.workers[i]
    own = prefix(g, w.attempt, w.lease)
    yield f"w{i} removes its files", s._replace(objects=s.objects - {own})
    if s.faults.store_fails and own in s.objects:
        yield f"w{i} can't remove its files", spend(s, "store_fails")


def free(s: State, i: int, *, refused: bool = False) -> State:
    """Open the lock, and end the response if someone still listens."""
    for d, dispatcher in enumerate(s.dispatchers):
        if dispatcher.worker == i:
            s = nak(s, d) if refused else with_dispatcher(s, d, step="ended", worker=-1)
    w = s.workers[i]
    # A drained process exits, and another one takes its place.
    fresh = Worker(life=w.life + w.draining)
    return s._replace(workers=(*s.workers[:i], fresh, *s.workers[i + 1 :]))


def die(s: State, i: int) -> State:
    """The process of worker `i` ends in the middle of whatever it does."""
    return free(with_worker(s, i, draining=True), i)


def holder(s: State, event: Event) -> Worker | None:
    """The worker that still works under the lease of `event`."""
    holding = (w for w in s.workers if w.step in HOLDING and w.lease == event.lease)
    return next(holding, None)


def take_second(s: State, g: Guards, i: int) -> bool:
    """Whether a busy worker without a lock would begin another attempt beside its own."""
    event = newest(s)
    refused = event and (event.terminal or event.fresh or event.attempt >= MAX_ATTEMPTS)
    return not g.one_video_lock and s.workers[i].step in WORKING and not refused


def connected(s: State, i: int) -> bool:
    """Whether a dispatcher listens to worker `i`."""
    return any(d.worker == i for d in s.dispatchers)


def _say(
    s: State, g: Guards, i: int, name: EventName, *, released: bool = False
) -> Iterator[Outcome]:
    w = s.workers[i]
    return publish(s, g, Publication(name, w.expected, w.attempt, w.lease, released))


def _troubles(s: State, g: Guards, i: int) -> Iterator[Step]:
    w = s.workers[i]
    if s.faults.worker_pause:
        yield f"w{i} is paused", with_worker(spend(s, "worker_pause"), i, paused=True)
    if s.faults.worker_crash:
        crashed = die(spend(s, "worker_crash"), i)
        if w.step in HOLDING and w.lease is not None:
            crashed = crashed._replace(excused=crashed.excused | {w.lease})
        yield f"w{i} crashes ({w.step})", crashed
    if s.faults.sigterm and not w.draining:
        told = spend(s, "sigterm")
        if g.work_outside_response or connected(s, i):
            yield f"w{i} gets SIGTERM, finishes first", with_worker(told, i, draining=True)
        else:
            yield f"w{i} gets SIGTERM, and no request is open: it exits", die(told, i)
