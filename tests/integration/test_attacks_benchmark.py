"""The benchmark of attacks, with one short attack."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.patience import scaled

pytestmark = pytest.mark.long


def test_an_attack_is_measured_beside_its_baseline() -> None:
    """A row has the response times and refusals of the innocent caller, quiet and attacked."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.attacks", "--only", "unfinished-gateway", "--seconds=2"],
        capture_output=True,
        text=True,
        check=True,
        timeout=scaled(100),
    )
    times, refused = r" +[\d,]+ +[\d,]+", r" +\d+/40"
    row = rf"^unfinished-gateway{times}{refused}{times}{refused} (met|MISSED)"
    assert re.search(row, done.stdout, re.MULTILINE), (done.stdout, done.stderr)
