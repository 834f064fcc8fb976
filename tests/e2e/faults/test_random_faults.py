"""Everything at once: callers by every entrance, and whatever can break, from one seed."""

from __future__ import annotations

import os
import random

from tests.e2e.faults.campaign import run_plan
from tests.e2e.faults.plan import make_plan
from tests.e2e.faults.stack import FaultyStack

DEFAULT_SEED = "20261121"


def test_promises_hold_whatever_breaks(stack: FaultyStack) -> None:
    """Every accepted video ends once and as its caller was told, with the files that it names."""
    text = os.environ.get("FAULTS_SEED") or DEFAULT_SEED
    seed = random.randrange(10**9) if text == "random" else int(text)
    print(f"FAULTS_SEED={seed}")  # noqa: T201 - pytest shows it when the test fails
    plan = make_plan(seed, videos=32, faults=13, seconds=16, past_lease=10)
    outcome = run_plan(stack, plan, rest_seconds=90)
    assert not outcome.verdict.violations, f"FAULTS_SEED={seed}\n{outcome.verdict.report}"
    assert outcome.verdict.states["completed"], "some videos were made in spite of it all"
