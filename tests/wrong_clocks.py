"""Processes whose wall clock is wrong."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def adjustable_clock(offset: Path) -> dict[str, str]:
    """Environment of a process whose wall clock is off by what the file `offset` says.

    It has the form of `wrong_clock`'s. The clock jumps within a second of a change.
    """
    environ = wrong_clock("") | {
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_CACHE_DURATION": "1",
    }
    # It would win over the file.
    del environ["FAKETIME"]
    return environ


def wrong_clock(offset: str) -> dict[str, str]:
    """Environment of a process whose wall clock is off by `offset`, such as `+90` or `-2h`.

    The monotonic clock is not faked.
    """
    library = resources.files("libfaketime") / "vendor/libfaketime/src/libfaketime.so.1"
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Else timed waits for a condition end early. Python's threads wait so for the
        # interpreter's lock, and would take ten times as much processor time.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }
