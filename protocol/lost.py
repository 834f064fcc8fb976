"""Lost events: how they are lost, and how videos get one again."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.generate import HOLDING
from protocol.ledger import Reading, Step, publish, read
from protocol.state import (
    COMPLETED,
    DELETED,
    FAILED,
    Guards,
    Publication,
    Search,
    State,
    newest,
    spend,
)


def events_lost(s: State) -> Iterator[Step]:
    """A purge of VIDEOS by an operator, or a damaged file.

    A tombstone is not lost: nothing else remembers the delete. And a loss takes longer than the
    moments in which nothing is lost here: while a process is about to act on what it has read, or
    while a worker is about to learn that its video has ended, or is another's.
    """
    event = newest(s)
    acting = s.sweeper.step == "deleting" or s.search.step != "idle"
    acting |= any(w.step == "lost" for w in s.workers)
    if not s.faults.events_lost or event is None or event.name is DELETED or acting:
        return
    spent = spend(s, "events_lost")._replace(lost=True, terminal_event=None, completions=0)
    yield "the stream loses all events", spent._replace(events=())
    unaware = any(w.step in HOLDING and w.lease != event.lease for w in s.workers)
    if len(s.events) > 1 and not unaware:
        yield "the stream loses the newest event", spent._replace(events=s.events[:-1])


def search(s: State, g: Guards) -> Iterator[Step]:
    """`LostVideos.check` and `VideoRestorer`: others may act between their read and their write."""
    if s.search.step == "idle":
        for found in read(s, g):
            yield from _look(found, g)
        return
    record = s.search.record
    if record is None:
        p = Publication(FAILED, s.search.expected, for_lost=True)
    else:
        p = Publication(COMPLETED, s.search.expected, record.attempt, record.lease, for_lost=True)
    for o in publish(s, g, p):
        retry = o.result == "retry"
        after = s.search._replace(expected=o.expected) if retry else Search()
        yield f"the search publishes {p.name}: {o.text}", o.state._replace(search=after)


def _look(found: Reading, g: Guards) -> Iterator[Step]:
    s, event = found.state, found.event
    if event is not None and (event.terminal or (event.fresh and g.search_lease_check)):
        return
    # The sweeper may be removing the files of earlier attempts.
    newest_attempt = event.attempt if event else 0
    records = (p for p in s.records & s.objects if p.attempt >= newest_attempt)
    record = max(records, key=lambda p: p.attempt, default=None)
    reads = f"reads {found.description}, {'finds a record' if record else 'finds no record'}"
    publishing = Search("publishing", found.seq, record)
    if s.request.seq and (s.request.settled or not g.search_only_settled):
        yield f"the search {reads}", s._replace(search=publishing)
    elif event is None and record is not None:
        yield f"restore-videos {reads}", s._replace(search=publishing)
