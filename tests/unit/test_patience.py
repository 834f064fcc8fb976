"""Time limits follow the load of the machine."""

from __future__ import annotations

import os
import time

import pytest

from tests import patience
from tests.patience import MAX_STRETCH, Starved, scaled, wait_until


@pytest.fixture
def overloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty tasks want each core."""
    tasks = 20 * len(os.sched_getaffinity(0))
    monkeypatch.setattr(patience, "runnable_tasks", lambda: tasks)
    wait_until(lambda: patience._clock._tasks_per_core >= 20, seconds=10, what="it is sampled")


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other task wants a core, and the host keeps none."""
    monkeypatch.setattr(patience, "runnable_tasks", lambda: 1)
    monkeypatch.setattr(patience, "_read_steal", lambda: (0, 0))
    wait_until(lambda: patience._clock._tasks_per_core == 1, seconds=10, what="it is sampled")


@pytest.mark.usefixtures("idle")
def test_on_an_idle_machine_a_limit_is_what_it_says() -> None:
    """The failure is the condition's own."""
    begun = time.monotonic()
    with pytest.raises(AssertionError, match=r"^timed out after .* s: the answer$") as failure:
        wait_until(lambda: None, seconds=0.3, what="the answer")
    assert time.monotonic() - begun >= 0.3
    assert not isinstance(failure.value, Starved)


@pytest.mark.usefixtures("overloaded")
def test_an_overloaded_machine_is_waited_for_and_named() -> None:
    """The limit stretches, though not for ever; the failure says by how much, and why."""
    begun = time.monotonic()
    with pytest.raises(Starved, match=r"times slower than an idle one .*: the answer$"):
        wait_until(lambda: None, seconds=0.2, what="the answer")
    assert time.monotonic() - begun >= 0.2 * MAX_STRETCH
    assert 10 < scaled(10) <= 10 * MAX_STRETCH
