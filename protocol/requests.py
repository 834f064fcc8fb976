"""The consumer of REQUESTS: how the request is delivered, acknowledged and redelivered."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.ledger import Step
from protocol.state import Dispatcher, Request, State, with_dispatcher


def fetch(s: State, i: int) -> Iterator[Step]:
    """`RequestSource.fetch`: dispatcher `i` takes the request."""
    if s.request.place == "available":
        taken = s._replace(request=s.request._replace(place="delivered", holder=i))
        step = with_dispatcher(taken, i, step="delivered", request=s.request.seq)
        yield f"d{i} fetches the request", step


def ack(s: State, i: int) -> State:
    """`Delivery.ack`: settles the request for good, even if it was redelivered since."""
    if s.request.seq == s.dispatchers[i].request and s.request.place != "acked":
        s = s._replace(request=Request(s.request.seq, "acked"))
    return _idle(s, i)


def nak(s: State, i: int) -> State:
    """`Delivery.nak`; its delay is left out, because the model has no durations."""
    if s.request.seq == s.dispatchers[i].request and s.request.place == "delivered":
        s = s._replace(request=Request(s.request.seq, "available"))
    return _idle(s, i)


def _idle(s: State, i: int) -> State:
    idle = Dispatcher(paused=s.dispatchers[i].paused)
    return s._replace(dispatchers=(*s.dispatchers[:i], idle, *s.dispatchers[i + 1 :]))


def drop_request(s: State) -> State:
    """Purge the request; its delivery becomes void."""
    return s._replace(request=Request(0, "acked"))


def ack_wait(s: State) -> Iterator[Step]:
    """The consumer redelivers a request that was not extended with `in_progress` in time."""
    if s.request.place != "delivered":
        return
    d = s.dispatchers[s.request.holder]
    if d.step == "idle" or d.request != s.request.seq or d.paused:
        available = s._replace(request=Request(s.request.seq, "available"))
        yield "ack_wait expires: the request is available again", available
