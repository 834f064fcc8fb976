"""READ and PUB on a stream that may lie or be silent; see `functions/shared/streams/ledger.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from functions.shared.video.events import RUNNING
from protocol.state import (
    CANCELLED,
    COMPLETED,
    DELETED,
    Event,
    Guards,
    Publication,
    State,
    newest,
    spend,
)

Step = tuple[str, State]


class Reading(NamedTuple):
    """An answer to READ."""

    text: str
    event: Event | None
    state: State

    @property
    def seq(self) -> int:
        """The sequence to name in the next publish."""
        return self.event.seq if self.event else 0

    @property
    def shown(self) -> str:
        """What was read, in words."""
        return f"{_shown(self.event)}{self.text}"


class Outcome(NamedTuple):
    """What a publisher knows after one try: `won`, `lost`, or nothing yet, and tries `again`.

    `expected` is the sequence to name from now on, `event` what a loser has found instead.
    """

    text: str
    result: str
    state: State
    expected: int = 0
    event: Event | None = None
    unknown: bool = False


def read(s: State, g: Guards) -> Iterator[Reading]:
    """`Ledger.read`: the newest message; a replica that is no leader may not have it yet."""
    yield Reading("", newest(s), s)
    if not g.leader_reads and s.faults.stale_read and s.events:
        before = s.events[-2] if len(s.events) > 1 else None
        yield Reading(" from a lagging replica", before, spend(s, "stale_read"))


def publish(s: State, g: Guards, p: Publication) -> Iterator[Outcome]:
    """`Ledger.publish`: one try, with everything that may come of it."""
    if accepts(s, g, p):
        stored = store(s, p)
        won = Outcome("stored", "won", stored, s.next_seq)
        yield won
        if s.faults.conflict:
            refused = spend(s, "conflict")
            yield from _refused(refused, g, p, "10164, another publish is in process")
        if s.faults.answer_lost:
            yield _unknown(spend(stored, "answer_lost"), g, p, "stored, but the answer is lost")
    else:
        yield from _refused(s, g, p, "10071, not the newest")
    if s.faults.answer_lost:
        silent = spend(s, "answer_lost")
        yield _unknown(silent, g, p, "no answer, and not stored")
        if s.late_publish is None:
            late = silent._replace(late_publish=p)
            yield _unknown(late, g, p, "no answer, and on its way for long")


def _unknown(s: State, g: Guards, p: Publication, text: str) -> Outcome:
    if g.repeat_unknown:
        return Outcome(text, "again", s, p.expected, unknown=True)
    return Outcome(f"{text}: taken for a failure", "lost", s, unknown=True)


def _refused(s: State, g: Guards, p: Publication, text: str) -> Iterator[Outcome]:
    """What the publisher makes of a refusal."""
    if not g.read_back:
        yield Outcome(f"{text}: taken for a loss", "lost", s, event=newest(s))
        return
    for found in read(s, g):
        event = found.event
        told = f"{text}, reads {found.shown}"
        if found.seq <= p.expected and g.sequence_rule:
            yield Outcome(f"{told}: tries again", "again", found.state, p.expected)
        elif event is not None and _is(event, p):
            yield Outcome(f"{told}: its own", "won", found.state, event.seq)
        elif event is not None and g.own_lease_rule and event.lease and event.lease == p.lease:
            yield Outcome(f"{told}: its own lease, builds on it", "again", found.state, event.seq)
        else:
            yield Outcome(f"{told}: lost", "lost", found.state, event=event)


def _is(event: Event, p: Publication) -> bool:
    """The code compares ids. Here no lease says a word twice, so word and lease tell as much."""
    return (event.name, event.lease, event.released) == (p.name, p.lease, p.released)


def accepts(s: State, g: Guards, p: Publication) -> bool:
    """`Nats-Expected-Last-Subject-Sequence`: JetStream stores it only after what it follows."""
    last = newest(s)
    return not g.compare_and_set or p.expected == (last.seq if last else 0)


def store(s: State, p: Publication) -> State:
    """Store an event, one for each subject, and note the promises that this breaks."""
    fresh = p.name in RUNNING and not p.released
    event = Event(s.next_seq, p.name, p.attempt, p.lease, fresh, p.released)
    return s._replace(
        events=(*(e for e in s.events if e.name != p.name), event),
        next_seq=s.next_seq + 1,
        ended=p.name if event.terminal else s.ended,
        completions=s.completions + (p.name is COMPLETED),
        broken=s.broken or _broken_by(s, event),
    )


def _broken_by(s: State, event: Event) -> str:
    if s.ended is not None and event.name is not DELETED:
        return f"a finished video changes from {s.ended} to {event.name}"
    if event.name is COMPLETED and s.completions:
        return "a video is completed twice"
    before = newest(s)
    # Cancelling and deleting are allowed to take a video away from a worker that is well.
    taken = event.name not in {CANCELLED, DELETED} and before is not None and before.running
    if taken and before is not None and event.lease != before.lease:
        lost = before.released or before.lease in s.excused
        if not lost:
            return f"attempt {before.attempt} is used up without a crash, a pause or a known error"
    return ""


def _shown(event: Event | None) -> str:
    if event is None:
        return "nothing"
    if not event.running:
        return event.name
    lease = "released" if event.released else "fresh" if event.fresh else "expired"
    return f"{event.name} (attempt {event.attempt}, {lease} lease)"
