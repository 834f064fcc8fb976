"""The steps of `generate`: `Worker`, `HeldLease` and `Attempt`."""

from __future__ import annotations

from collections.abc import Iterator

from functions.shared.video.events import MAX_ATTEMPTS, EventName
from protocol.ledger import Outcome, Step, publish, read
from protocol.state import (
    COMPLETED,
    FAILED,
    PROGRESSED,
    STARTED,
    Event,
    Guards,
    Lease,
    Prefix,
    Publication,
    State,
    Worker,
    newest,
    prefix,
    put,
    remove,
    spend,
    with_dispatcher,
    with_worker,
)
from protocol.turns import nak

# Steps during which the worker has a lease, which may be in the stream.
HOLDING = frozenset({"claiming", "rendering", "failing", "ending"})
WORKING = HOLDING - {"claiming"}


def steps(s: State, g: Guards, i: int) -> Iterator[Step]:
    """The possible next steps of worker `i`."""
    w = s.workers[i]
    if w.step == "idle":
        return
    if w.paused:
        yield f"w{i} resumes", with_worker(s, i, paused=False)
        return
    yield from _faults(s, g, i)
    yield from _STEPS[w.step](s, g, i)


def claim(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`Worker._claim` up to the decision; the request itself was already read."""
    w = s.workers[i]
    for before in read(s, g):
        reads = f"w{i} reads {before.description}"
        event = before.event
        leased = event is not None and event.fresh and g.generate_lease_check
        attempt = event.attempt if event else 0
        if (event and event.terminal) or leased or attempt >= MAX_ATTEMPTS:
            yield f"{reads}: 503", release_worker(before.state, i, refused=True)
        else:
            # Without its events, the video could get the same lease again.
            lease = Lease(i, w.life, s.next_seq if s.lost else before.seq)
            changes = {"expected": before.seq, "attempt": attempt + 1, "lease": lease}
            claiming = with_worker(before.state, i, step="claiming", **changes)
            yield f"{reads}: will claim attempt {attempt + 1}", claiming


def publish_started(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`Worker._claim`: publish `started`."""
    for o in _publish(s, g, i, STARTED):
        if o.result == "won":
            state = with_worker(o.state, i, step="rendering", expected=o.expected)
        elif o.result == "retry":
            state = with_worker(o.state, i, expected=o.expected)
        else:
            state = release_worker(o.state, i, refused=True)
        yield f"w{i} publishes started: {o.text}", state


def render(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`Attempt._render_and_upload`, beside renewals of the lease and checks for others' events."""
    w = s.workers[i]
    if not w.renewed:
        yield from renew_lease(s, g, i)
    yield from check_ownership(s, g, i)
    yield from upload(s, g, i)
    if s.faults.render_error:
        failing = with_worker(spend(s, "render_error"), i, step="failing", final_event=FAILED)
        yield f"w{i} fails to render, permanently", failing


def renew_lease(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`HeldLease._renew`, once per attempt: more renewals would reveal nothing new.

    Rendering continues while the outcome of the publish is unknown, as in the code.
    """
    for o in _publish(s, g, i, PROGRESSED):
        if o.result == "lost":
            state = with_worker(o.state, i, step="lost")
        else:
            renewed = o.result == "won"
            state = with_worker(o.state, i, expected=o.expected, renewed=renewed)
        yield f"w{i} renews its lease: {o.text}", state


def check_ownership(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`HeldLease._check_ownership`: an event was seen, though its publish may have been refused."""
    for found in read(s, g):
        event = found.event
        if event is None or event.terminal or event.lease != s.workers[i].lease:
            lost = with_worker(found.state, i, step="lost")
            yield f"w{i} checks its video, reads {found.description}: lost", lost


def upload(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`AttemptFiles.upload` and `upload_record`: what reports an error may still be stored."""
    w = s.workers[i]
    own = prefix(g, w.attempt, w.lease)
    uploaded = with_worker(put(s, own), i, step="ending", final_event=COMPLETED)
    if g.record_before_completed:
        uploaded = _put_record(uploaded, own)
    yield f"w{i} uploads", uploaded
    if not s.faults.store_error:
        return
    waiting = spend(s, "store_error")
    # Past `upload_retry_seconds`, the attempt has failed.
    failing = with_worker(waiting, i, step="failing", final_event=PROGRESSED)
    for text, after in (("is tried again", waiting), ("is given up", failing)):
        yield f"w{i}: the upload fails, and {text}", after
        yield f"w{i}: the upload fails, but is stored, and {text}", put(after, own)
        if s.late_put is None:
            yield f"w{i}: the upload is delayed, and {text}", after._replace(late_put=own)


def fail_attempt(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`Attempt._fail`: remove the files, then publish `failed`, or release the lease to retry."""
    silent = s.workers[i].final_event is PROGRESSED and not g.release_lease
    for text, cleaned in clean_up(s, g, i):
        if silent:
            yield f"{text} and publishes nothing", release_worker(cleaned, i)
        else:
            yield text, with_worker(cleaned, i, step="ending")


def publish_final(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`HeldLease.publish_final` and `release`: the attempt's final event."""
    name = s.workers[i].final_event
    if name is None:
        raise ValueError("a worker that ends an attempt has no final event")
    released = name is PROGRESSED
    for o in _publish(s, g, i, name, released=released):
        if o.result == "won":
            state = release_worker(o.state, i)
            if name is COMPLETED and not g.record_before_completed:
                state = with_worker(o.state, i, step="recording")
        elif o.result == "retry":
            state = with_worker(o.state, i, expected=o.expected)
        elif o.nothing_left and g.keep_files_without_event:
            state = release_worker(o.state, i)
        else:
            state = with_worker(o.state, i, step="lost")
        yield f"w{i} publishes {'the release' if released else name}: {o.text}", state


def record_late(s: State, g: Guards, i: int) -> Iterator[Step]:
    """What a worker would do if it wrote the record after it has published `completed`."""
    w = s.workers[i]
    recorded = _put_record(s, prefix(g, w.attempt, w.lease))
    yield f"w{i} writes the record", release_worker(recorded, i)


def _put_record(s: State, own: Prefix) -> State:
    return s._replace(records=s.records | {own})


def abandon(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`Attempt.run` after a lost race: remove its own files and publish nothing."""
    for text, cleaned in clean_up(s, g, i):
        yield f"{text}, since it has lost the video", release_worker(cleaned, i)


_STEPS = {
    "taking": claim,
    "claiming": publish_started,
    "rendering": render,
    "failing": fail_attempt,
    "ending": publish_final,
    "lost": abandon,
    "recording": record_late,
}


def clean_up(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`AttemptFiles.delete`; files that can't be removed are left to the sweeper."""
    w = s.workers[i]
    own = prefix(g, w.attempt, w.lease)
    yield f"w{i} removes its files", remove(s, frozenset({own}))
    if s.faults.store_error and own in s.objects:
        yield f"w{i} can't remove its files", spend(s, "store_error")


def release_worker(s: State, i: int, *, refused: bool = False) -> State:
    """Release the one-video lock, and end the response if it is still connected."""
    for d, dispatcher in enumerate(s.dispatchers):
        if dispatcher.worker == i:
            s = nak(s, d) if refused else with_dispatcher(s, d, step="ended", worker=-1)
    w = s.workers[i]
    # A drained process exits and is replaced by a new one.
    fresh = Worker(life=w.life + w.draining)
    return s._replace(workers=(*s.workers[:i], fresh, *s.workers[i + 1 :]))


def end_process(s: State, i: int) -> State:
    """The process of worker `i` ends, whatever it is doing."""
    return release_worker(with_worker(s, i, draining=True), i)


def lease_holder(s: State, event: Event) -> Worker | None:
    """The worker that still works under the lease of `event`, if any."""
    holding = (w for w in s.workers if w.step in HOLDING and w.lease == event.lease)
    return next(holding, None)


def would_take_second(s: State, g: Guards, i: int) -> bool:
    """Whether a busy worker would start a concurrent attempt if there were no lock."""
    event = newest(s)
    refused = event and (event.terminal or event.fresh or event.attempt >= MAX_ATTEMPTS)
    return not g.one_video_lock and s.workers[i].step in WORKING and not refused


def connected(s: State, i: int) -> bool:
    """Whether a dispatcher is connected to worker `i`."""
    return any(d.worker == i for d in s.dispatchers)


def _publish(
    s: State, g: Guards, i: int, name: EventName, *, released: bool = False
) -> Iterator[Outcome]:
    w = s.workers[i]
    return publish(s, g, Publication(name, w.expected, w.attempt, w.lease, released))


def _faults(s: State, g: Guards, i: int) -> Iterator[Step]:
    w = s.workers[i]
    if s.faults.worker_pause:
        yield f"w{i} is paused", with_worker(spend(s, "worker_pause"), i, paused=True)
    if s.faults.worker_crash:
        crashed = end_process(spend(s, "worker_crash"), i)
        if w.step in HOLDING and w.lease is not None:
            crashed = crashed._replace(abandoned=crashed.abandoned | {w.lease})
        yield f"w{i} crashes ({w.step})", crashed
    if s.faults.sigterm and not w.draining:
        signalled = spend(s, "sigterm")
        if g.work_outside_response or connected(s, i):
            yield f"w{i} gets SIGTERM, finishes first", with_worker(signalled, i, draining=True)
        else:
            yield (
                f"w{i} gets SIGTERM, and exits since no request is open",
                end_process(signalled, i),
            )
