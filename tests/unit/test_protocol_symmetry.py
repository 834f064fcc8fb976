"""What the model leaves out, because it differs from what it explores in numbers alone."""

from __future__ import annotations

from typing import Any

import pytest

from protocol import dispatch, explore
from protocol.scenarios import Scenario
from protocol.state import Dispatcher, Faults, Guards, Lease, State

SCENARIOS = (
    Scenario("a failed upload", Faults(store_error=1)),
    Scenario("a paused dispatcher", Faults(dispatcher_pause=1)),
    Scenario("a late publish and a crash", Faults(ack_lost=1, worker_crash=1)),
)


def _reachable(start: State) -> set[State]:
    found, todo = {start}, [start]
    while todo:
        new = {following for _, following in explore.steps(todo.pop(), Guards())} - found
        found |= new
        todo += new
    return found


def _swap_workers(value: Any) -> Any:
    """`value` with the numbers of the two workers swapped."""
    if isinstance(value, State):
        value = value._replace(workers=value.workers[::-1])
    elif isinstance(value, Lease):
        return value._replace(worker=1 - value.worker)
    elif isinstance(value, Dispatcher):
        return value._replace(worker=1 - value.worker) if value.worker >= 0 else value
    if isinstance(value, frozenset):
        return frozenset(map(_swap_workers, value))
    if isinstance(value, tuple):
        parts = map(_swap_workers, value)
        return type(value)._make(parts) if hasattr(value, "_make") else tuple(parts)
    return value


def _swap_dispatchers(s: State) -> State:
    holder = s.turn.holder
    turn = s.turn._replace(holder=1 - holder) if holder >= 0 else s.turn
    return s._replace(dispatchers=s.dispatchers[::-1], turn=turn)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_state_is_explored_up_to_numbers(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each state that can be reached is explored, or one in which processes have other numbers."""
    explored = _reachable(scenario.start())
    for module, name in ((explore, "is_dispatchers_twin"), (dispatch, "is_workers_twin")):
        monkeypatch.setattr(module, name, lambda _state, _number: False)
    every = _reachable(scenario.start())

    closed = set(explored)
    for swap in (_swap_workers, _swap_dispatchers):
        closed |= set(map(swap, closed))
    assert closed == every
    assert len(explored) < len(every) / 2
