"""Random faults with a cluster of three NATS servers, of which one at a time fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.e2e.faults.campaign import run_schedule
from tests.e2e.faults.schedule import Fault, make_schedule
from tests.e2e.faults.stack import FaultyStack, faulty_stack
from tests.e2e.faults.test_random_faults import DEFAULT_SEED

pytestmark = pytest.mark.long


@pytest.fixture
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyStack]:
    """A stack with a NATS cluster, for one test."""
    with faulty_stack(tmp_path_factory.mktemp("clustered") / "stack", clustered=True) as stack:
        yield stack


def test_promises_hold_on_a_cluster_under_random_faults(clustered: FaultyStack) -> None:
    """Functions and connections fail; a NATS server is killed, frozen, or loses its disk."""
    schedule = make_schedule(int(DEFAULT_SEED), videos=20, faults=5, seconds=14, past_lease=10)
    nats_faults = [
        Fault(at, kind, "nats", seconds)
        for at, kind, seconds in ((2, "kill", 1.0), (7, "freeze", 3.0), (12, "lose data", 1.0))
    ]
    faults = sorted([*schedule.faults, *nats_faults], key=lambda fault: fault.at)
    outcome = run_schedule(clustered, replace(schedule, faults=faults), rest_seconds=90)
    assert not outcome.verdict.violations, outcome.verdict.report
    assert outcome.verdict.states["completed"]
    for kind in ("kill", "freeze", "lose data"):
        assert outcome.injector.injected[kind, "nats"] >= 1
