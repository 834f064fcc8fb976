"""`Ledger.read` and `Ledger.publish` on a stream with stale reads, conflicts and lost answers.

The code is in `functions/shared/streams/ledger.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from functions.shared.video.events import RUNNING
from protocol.state import (
    CANCELLED,
    COMPLETED,
    DELETED,
    FAILED,
    STARTED,
    Event,
    Guards,
    Prefix,
    Publication,
    State,
    newest,
    spend,
)

Step = tuple[str, State]


class Reading(NamedTuple):
    """The result of a read; `source` names a replica that lags."""

    source: str
    event: Event | None
    state: State

    @property
    def seq(self) -> int:
        """The sequence to expect in the next publish."""
        return self.event.seq if self.event else 0

    @property
    def description(self) -> str:
        """What was read, for traces."""
        return f"{_describe(self.event)}{self.source}"


class Outcome(NamedTuple):
    """What a publisher concludes from one try: it has `won` or `lost`, or must `retry`.

    Attributes:
        text: a description for traces.
        result: `won`, `lost` or `retry`.
        state: the state after the try.
        expected: the sequence to expect in the next publish.
        event: the event that a loser has found instead.
        unknown: whether the publisher got no answer.
    """

    text: str
    result: str
    state: State
    expected: int = 0
    event: Event | None = None
    unknown: bool = False

    @property
    def nothing_left(self) -> bool:
        """A loser has found no event at all: the stream has lost them."""
        return self.state.lost and self.event is None


def read(s: State, g: Guards) -> Iterator[Reading]:
    """`Ledger.read`: the newest message; a replica other than the leader may lag behind."""
    yield Reading("", newest(s), s)
    if not g.leader_reads and s.faults.stale_read and s.events:
        before = s.events[-2] if len(s.events) > 1 else None
        yield Reading(" from a lagging replica", before, spend(s, "stale_read"))


def publish(s: State, g: Guards, p: Publication) -> Iterator[Outcome]:
    """`Ledger.publish`: all possible outcomes of one try."""
    if accepts(s, g, p):
        stored = store(s, p)
        yield Outcome("stored", "won", stored, s.next_seq)
        if s.faults.spurious_conflict:
            refused = spend(s, "spurious_conflict")
            yield from _refused(refused, g, p, "10164, another publish is in process")
        if s.faults.ack_lost:
            yield _unknown(spend(stored, "ack_lost"), g, p, "stored, but the ack is lost")
    else:
        yield from _refused(s, g, p, "10071, not the newest")
    if s.faults.ack_lost:
        silent = spend(s, "ack_lost")
        yield _unknown(silent, g, p, "no answer, and not stored")
        if s.late_publish is None:
            late = silent._replace(late_publish=p)
            yield _unknown(late, g, p, "no answer, and delayed")


def _unknown(s: State, g: Guards, p: Publication, text: str) -> Outcome:
    if g.retry_unknown_outcome:
        return Outcome(text, "retry", s, p.expected, unknown=True)
    return Outcome(f"{text}: treated as a failure", "lost", s, unknown=True)


def _refused(s: State, g: Guards, p: Publication, text: str) -> Iterator[Outcome]:
    """What the publisher concludes from a refusal."""
    if not g.read_after_conflict:
        yield Outcome(f"{text}: treated as a loss", "lost", s, event=newest(s))
        return
    for found in read(s, g):
        event = found.event
        reads = f"{text}, reads {found.description}"
        if found.seq <= p.expected and g.retry_if_unchanged:
            yield Outcome(f"{reads}: retries", "retry", found.state, p.expected)
            # Past the time of an election, what is missing is believed to be lost.
            if not found.state.lost or found.seq == p.expected:
                continue
        if event is not None and _is_own(event, p):
            yield Outcome(f"{reads}: its own event", "won", found.state, event.seq)
        elif event is not None and g.continue_own_lease and _under_own_lease(event, p):
            yield Outcome(f"{reads}: its own lease, retries", "retry", found.state, event.seq)
        else:
            yield Outcome(f"{reads}: lost", "lost", found.state, event=event)


def _under_own_lease(event: Event, p: Publication) -> bool:
    """What is published for a lost video is published without a lease."""
    return event.lease is not None and event.lease == p.lease and not p.for_lost


def _is_own(event: Event, p: Publication) -> bool:
    """The code compares event ids. Here, a lease publishes each event once, so these suffice."""
    return (event.name, event.lease, event.released) == (p.name, p.lease, p.released)


def accepts(s: State, g: Guards, p: Publication) -> bool:
    """Compare-and-set with `Nats-Expected-Last-Subject-Sequence`."""
    last = newest(s)
    return not g.compare_and_set or p.expected == (last.seq if last else 0)


def store(s: State, p: Publication) -> State:
    """Store an event, one per subject, and record a property that this violates."""
    fresh = p.name in RUNNING and not p.released
    event = Event(s.next_seq, p.name, p.attempt, p.lease, fresh, p.released)
    return s._replace(
        events=(*(e for e in s.events if e.name != p.name), event),
        next_seq=s.next_seq + 1,
        terminal_event=p.name if event.terminal else s.terminal_event,
        completions=s.completions + (p.name is COMPLETED),
        completed=_completed(s, p),
        violation=s.violation or _violation_for_lost(s, p) or _violation_by(s, event),
    )


def _completed(s: State, p: Publication) -> Prefix | None:
    if p.name is COMPLETED:
        return Prefix(p.attempt, p.lease)
    # The files of earlier attempts no longer count.
    return None if p.name is STARTED else s.completed


def _violation_for_lost(s: State, p: Publication) -> str:
    if p.for_lost and not s.lost:
        return f"a video that has lost nothing is {p.name}"
    event = newest(s)
    if p.for_lost and event and event.fresh and any(w.lease == event.lease for w in s.workers):
        return "a video that a worker renders is taken for a lost one"
    if p.for_lost and p.name is FAILED and s.completed in s.objects:
        return "a lost video fails, though its files are there"
    return ""


def _violation_by(s: State, event: Event) -> str:
    if s.terminal_event is not None and event.name is not DELETED:
        return f"a finished video changes from {s.terminal_event} to {event.name}"
    if event.name is COMPLETED and s.completions:
        return "a video is completed twice"
    before = newest(s)
    # Cancel and delete may take a video away from a healthy worker.
    taken = event.name not in {CANCELLED, DELETED} and before is not None and before.running
    if taken and before is not None and event.lease != before.lease:
        lost = s.lost or before.released or before.lease in s.abandoned
        if not lost:
            return f"attempt {before.attempt} is used up without a crash, pause or reported error"
    return ""


def _describe(event: Event | None) -> str:
    if event is None:
        return "nothing"
    if not event.running:
        return event.name
    lease = "released" if event.released else "fresh" if event.fresh else "expired"
    return f"{event.name} (attempt {event.attempt}, {lease} lease)"
