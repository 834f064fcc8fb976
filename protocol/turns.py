"""Turns: how a request gets one, how it is delivered, and how it ends; and what is written down.

The stream TURNS has a message for each request that may be worked on now, and the consumer
`generate`. `protocol/fairness.py` models whose turn it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocol.ledger import Step
from protocol.state import (
    Dispatcher,
    Guards,
    Request,
    State,
    Turn,
    newest,
    spend,
    with_dispatcher,
)


def propose(s: State, g: Guards) -> Iterator[Step]:
    """`Proposer.propose`, by any process of `dispatch`; JetStream allows one turn for a video.

    A process may not know the newest event yet (`late_turn`), or have restarted since it knew it:
    then it knows only what the streams have.
    """
    request = s.request
    if s.turn.request or not request.seq or (request.proposed and not g.propose_until_ended):
        return
    event = newest(s)
    given = s._replace(turn=Turn(request.seq), request=request._replace(proposed=_proposed(g)))
    if event is None or not event.terminal:
        if request.settled and not g.remember_settled:
            yield (
                "a turn is proposed for an ended video",
                s._replace(violation="a video that has ended is worked on again"),
            )
        elif not request.settled:
            yield "a turn is proposed", given
    elif s.faults.late_turn:
        yield "a turn is proposed late", spend(given, "late_turn")


def _proposed(g: Guards) -> bool:
    # With the guard nothing depends on it, and states that differ only in it would be explored.
    return not g.propose_until_ended


def settle(s: State, g: Guards) -> Iterator[Step]:
    """`Checkpoints.write`: that the video of a request has ended is written to the stream QUEUE."""
    event = newest(s)
    ended = event is not None and (event.terminal or not g.settle_only_ended)
    if s.request.seq and not s.request.settled and ended:
        settled = s._replace(request=s.request._replace(settled=True))
        yield "QUEUE has the request as settled", settled


def turn_lost(s: State) -> Iterator[Step]:
    """An operator purges TURNS, or its file is damaged; whoever has the turn is not told."""
    if s.faults.turn_lost and s.turn.request:
        yield "the turn is lost", spend(s, "turn_lost")._replace(turn=Turn())


def fetch(s: State, g: Guards, i: int) -> Iterator[Step]:
    """`TurnSource.fetch`: dispatcher `i` takes the turn, and reads its request."""
    turn = s.turn
    if not turn.request or turn.holder >= 0:
        return
    gone = turn.request != s.request.seq
    if (gone and g.end_void_turns) or (not gone and s.request.settled and g.end_settled_turns):
        why = "gone" if gone else "settled"
        yield f"d{i} fetches a turn whose request is {why}: ack", s._replace(turn=Turn())
        return
    taken = s._replace(turn=turn._replace(holder=i))
    step = with_dispatcher(taken, i, step="delivered", request=turn.request)
    yield f"d{i} fetches the turn", step


def ack(s: State, i: int) -> State:
    """`Delivery.ack`: removes the turn, even if it was redelivered since."""
    if s.turn.request == s.dispatchers[i].request:
        s = s._replace(turn=Turn())
    return _idle(s, i)


def nak(s: State, i: int) -> State:
    """`Delivery.nak`; its delay is left out, because the model has no durations."""
    if s.turn.request == s.dispatchers[i].request:
        s = s._replace(turn=s.turn._replace(holder=-1))
    return _idle(s, i)


def _idle(s: State, i: int) -> State:
    idle = Dispatcher(paused=s.dispatchers[i].paused)
    return s._replace(dispatchers=(*s.dispatchers[:i], idle, *s.dispatchers[i + 1 :]))


def drop_request(s: State) -> State:
    """Purge the request; its turn becomes void."""
    return s._replace(request=Request(0))


def ack_wait(s: State) -> Iterator[Step]:
    """The consumer redelivers a turn that was not extended with `in_progress` in time."""
    if s.turn.holder < 0:
        return
    d = s.dispatchers[s.turn.holder]
    if d.step == "idle" or d.request != s.turn.request or d.paused:
        available = s._replace(turn=s.turn._replace(holder=-1))
        yield "ack_wait expires: the turn is available again", available
