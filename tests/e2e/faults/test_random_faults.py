"""Callers on every interface and random faults at the same time, all from one seed."""

from __future__ import annotations

import os
import random

import pytest

from tests.e2e.faults.campaign import run_schedule
from tests.e2e.faults.schedule import make_schedule
from tests.e2e.faults.stack import FaultyStack

pytestmark = pytest.mark.long

DEFAULT_SEED = "20261121"


def test_promises_hold_under_random_faults(stack: FaultyStack) -> None:
    """Every accepted video reaches one final state, which matches the answers and its files."""
    text = os.environ.get("FAULTS_SEED") or DEFAULT_SEED
    seed = random.randrange(10**9) if text == "random" else int(text)
    print(f"FAULTS_SEED={seed}")  # noqa: T201 - pytest shows it when the test fails
    schedule = make_schedule(seed, videos=32, faults=13, seconds=16, past_lease=10)
    outcome = run_schedule(stack, schedule, rest_seconds=90)
    assert not outcome.verdict.violations, f"FAULTS_SEED={seed}\n{outcome.verdict.report}"
    assert outcome.verdict.states["completed"], "no video completed"
