"""Processes whose wall clock is wrong."""

from __future__ import annotations

from importlib import resources


def wrong_clock(offset: str) -> dict[str, str]:
    """Environment of a process whose wall clock is off by `offset`, such as `+90` or `-2h`.

    The monotonic clock is not faked.
    """
    library = resources.files("libfaketime") / "vendor/libfaketime/src/libfaketime.so.1"
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
