"""A busy machine is named where a start takes too long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local import load


def test_an_overloaded_machine_is_described(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With its load average, its cores and, where the kernel tells it, the pressure."""
    monkeypatch.setattr(os, "getloadavg", lambda: (31.04, 20.0, 10.0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    pressure = tmp_path / "cpu"
    monkeypatch.setattr(load, "_PRESSURE", pressure)
    assert load.describe_overload() == "The machine is busy: load average 31.0 on 2 cores."
    pressure.write_text(
        "some avg10=99.02 avg60=96.60 avg300=40.91 total=1\nfull avg10=0.00 avg60=0.00\n"
    )
    assert load.describe_overload() == (
        "The machine is busy: load average 31.0 on 2 cores, and processes waited for a core 97% "
        "of the time."
    )


def test_a_start_alone_is_no_overload(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions that import torch at the same time keep the cores busy for some seconds."""
    monkeypatch.setattr(os, "getloadavg", lambda: (4.0, 1.0, 0.5))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert load.describe_overload() is None
