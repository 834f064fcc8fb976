"""The steps of `submit`: cancel, delete, and the withdrawal of unconfirmed requests."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.dispatch import purge_events
from protocol.ledger import Outcome, Reading, Step, publish, read
from protocol.state import (
    CANCELLED,
    COMPLETED,
    DELETED,
    Event,
    Guards,
    Handler,
    Prefix,
    Publication,
    State,
    prefix,
    remove,
    spend,
)
from protocol.turns import drop_request


def cancel(s: State, g: Guards) -> Iterator[Step]:
    """`Cancellations.cancel`; if the video is finished or absent, nothing is published."""
    if s.cancel.step == "idle":
        if s.faults.cancel:
            for found in read(s, g):
                if not _absent(found) and not (found.event and found.event.terminal):
                    asked = spend(found.state, "cancel")
                    handler = Handler("publishing", found.seq)
                    yield f"cancel reads {found.description}", asked._replace(cancel=handler)
        return
    for o in publish(s, g, Publication(CANCELLED, s.cancel.expected)):
        handler = _after(o, s.cancel)
        yield f"cancel publishes cancelled: {o.text}", o.state._replace(cancel=handler)
        if o.unknown:
            yield f"cancel: {o.text}; answers 503", o.state._replace(cancel=Handler())


def _absent(found: Reading) -> bool:
    return found.event is None and not found.state.request.seq


def _after(o: Outcome, handler: Handler) -> Handler:
    if o.result == "retry":
        return handler._replace(expected=o.expected)
    if o.result == "lost" and o.event is not None and not o.event.terminal:
        return handler._replace(expected=o.event.seq)
    return Handler()


def delete(s: State, g: Guards) -> Iterator[Step]:
    """`Deletions.delete`, which can crash at every step."""
    h = s.delete
    if h.step == "idle":
        if s.faults.delete:
            for found in read(s, g):
                if not _absent(found):
                    asked = spend(found.state, "delete")
                    yield f"delete reads {found.description}", _tombstone(asked, found.event)
        return
    if s.faults.handler_crash:
        yield "delete crashes", spend(s, "handler_crash")._replace(delete=Handler())
    yield from _DELETE[h.step](s, g)


def _tombstone(s: State, event: Event | None) -> State:
    """The next step of a delete after reading `event`: remove files, or publish `deleted`."""
    if event is not None and event.name is DELETED:
        return s._replace(delete=Handler("removing", event.seq, s.objects))
    return s._replace(delete=Handler("publishing", event.seq if event else 0))


def publish_deleted(s: State, g: Guards) -> Iterator[Step]:
    """`publish_tombstone`."""
    for o in publish(s, g, Publication(DELETED, s.delete.expected)):
        if o.result == "won":
            state = o.state._replace(delete=Handler("removing", o.expected, s.objects))
        elif o.result == "retry":
            state = o.state._replace(delete=s.delete._replace(expected=o.expected))
        elif o.event is not None:
            state = _tombstone(o.state, o.event)
        else:
            state = o.state._replace(delete=Handler())
        yield f"delete publishes deleted: {o.text}", state
        if o.unknown:
            yield f"delete: {o.text}; answers 503", o.state._replace(delete=Handler())


def remove_files(s: State, g: Guards) -> Iterator[Step]:
    """`Store.delete_prefix`."""
    if s.faults.store_error:
        yield (
            "delete can't remove the files: 503",
            spend(s, "store_error")._replace(delete=Handler()),
        )
    kept = frozenset[Prefix]() if g.delete_whole_prefix else s.objects - _winners(s, g)
    handler = s.delete._replace(step="purging the request")
    yield "delete removes the files", remove(s, s.objects - kept)._replace(delete=handler)


def _winners(s: State, g: Guards) -> frozenset[Prefix]:
    """The files that `completed` names, the only ones removed without `delete_whole_prefix`."""
    won = (e for e in s.events if e.name is COMPLETED)
    return frozenset(prefix(g, e.attempt, e.lease) for e in won)


def purge_request(s: State, _: Guards) -> Iterator[Step]:
    """`Bus.purge` of the request."""
    handler = s.delete._replace(step="purging events")
    yield "delete purges the request", drop_request(s)._replace(delete=handler)


def purge_and_answer(s: State, g: Guards) -> Iterator[Step]:
    """`Bus.purge` up to the tombstone, then the response to the caller."""
    left = s.delete.to_remove & s.objects
    violation = "a delete is answered, but files that existed before remain" if left else ""
    purged = purge_events(s, g, s.delete.expected)._replace(
        delete=Handler(), violation=s.violation or violation
    )
    yield "delete purges older events and answers", purged


_DELETE = {
    "publishing": publish_deleted,
    "removing": remove_files,
    "purging the request": purge_request,
    "purging events": purge_and_answer,
}


def withdraw(s: State, g: Guards) -> Iterator[Step]:
    """`UnconfirmedRequests._delete`: the caller got a 503, so the request must not run.

    The request may already be in the stream, arrive later, or never arrive.
    """
    h = s.withdrawal
    if h.step == "idle":
        return
    if s.faults.handler_crash:
        yield "submit crashes", spend(s, "handler_crash")._replace(withdrawal=Handler())
    if h.step == "purging the request":
        yield "submit purges the request", drop_request(s)._replace(withdrawal=Handler())
        return
    for o in publish(s, g, Publication(DELETED, h.expected)):
        if o.result == "won" or (o.event and o.event.name is DELETED):
            after = Handler("purging the request")
        else:
            after = h._replace(expected=o.event.seq if o.event else o.expected)
        yield f"submit publishes deleted: {o.text}", o.state._replace(withdrawal=after)
