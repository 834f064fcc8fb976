"""The benchmark of previews, with one short video."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.patience import scaled

pytestmark = pytest.mark.long


def test_the_cost_of_previews_is_printed_beside_its_baseline() -> None:
    """A row without previews, and one for each interval between them."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.previews", "--smoke"],
        capture_output=True,
        text=True,
        check=True,
        timeout=scaled(200),
    )
    for every in ("none", "10 s", "1 s"):
        row = rf"^\| 96x64, 25 frames \| 16 \| {every} \| \d+ \| [\d.]+ \| [\d.]+% \| 0.\d+ \|"
        assert re.search(row, done.stdout, re.MULTILINE), (done.stdout, done.stderr)
