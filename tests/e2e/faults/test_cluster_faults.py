"""The same again over three NATS servers, of which any may die, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.e2e.faults.campaign import run_plan
from tests.e2e.faults.plan import Fault, make_plan
from tests.e2e.faults.stack import FaultyStack, faulty_stack
from tests.e2e.faults.test_random_faults import DEFAULT_SEED


@pytest.fixture
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyStack]:
    """A stack over a cluster, for one test."""
    with faulty_stack(tmp_path_factory.mktemp("clustered") / "stack", clustered=True) as stack:
        yield stack


def test_promises_hold_over_a_cluster_whatever_breaks(clustered: FaultyStack) -> None:
    """Functions, workers, connections break; a server dies, freezes, loses its disk, comes back."""
    plan = make_plan(int(DEFAULT_SEED), videos=20, faults=5, seconds=14, past_lease=10)
    again_and_again = [
        Fault(at, kind, "nats", seconds)
        for at, kind, seconds in ((2, "kill", 1.0), (7, "freeze", 3.0), (12, "lose data", 1.0))
    ]
    faults = sorted([*plan.faults, *again_and_again], key=lambda fault: fault.at)
    outcome = run_plan(clustered, replace(plan, faults=faults), rest_seconds=90)
    assert not outcome.verdict.violations, outcome.verdict.report
    assert outcome.verdict.states["completed"]
    for kind in ("kill", "freeze", "lose data"):
        assert outcome.injector.done[kind, "nats"] >= 1
