"""The consumer of REQUESTS: who has the request, and how it is given back."""

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
    """`Delivery.ack`: settled for good, whoever has the request by now."""
    if s.request.seq == s.dispatchers[i].request and s.request.place != "acked":
        s = s._replace(request=Request(s.request.seq, "acked"))
    return _rest(s, i)


def nak(s: State, i: int) -> State:
    """`Delivery.nak`. How long the delay is does not matter here: nothing is ever in time."""
    if s.request.seq == s.dispatchers[i].request and s.request.place == "delivered":
        s = s._replace(request=Request(s.request.seq, "available"))
    return _rest(s, i)


def _rest(s: State, i: int) -> State:
    idle = Dispatcher(paused=s.dispatchers[i].paused)
    return s._replace(dispatchers=(*s.dispatchers[:i], idle, *s.dispatchers[i + 1 :]))


def gone(s: State) -> State:
    """The request is purged; its delivery is void."""
    return s._replace(request=Request(0, "acked"))


def ack_wait(s: State) -> Iterator[Step]:
    """The consumer delivers again what nobody has kept open with `in_progress`."""
    if s.request.place != "delivered":
        return
    d = s.dispatchers[s.request.holder]
    if d.step == "idle" or d.request != s.request.seq or d.paused:
        available = s._replace(request=Request(s.request.seq, "available"))
        yield "ack_wait is over: the request is delivered again", available
