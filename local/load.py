"""Whether this machine has too much to do for a start to be ready in time."""

from __future__ import annotations

import os
import re
from pathlib import Path

# A start alone keeps two cores busy with twice as many tasks, while functions import torch.
_BUSY_TASKS_PER_CORE = 2.0
_PRESSURE = Path("/proc/pressure/cpu")  # absent where the kernel has it disabled


def describe_overload() -> str | None:
    """Return a sentence about the load of the last minute; None where it explains no delay."""
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load <= _BUSY_TASKS_PER_CORE * cores:
        return None
    return f"The machine is busy: load average {load:.1f} on {cores} cores{_cpu_pressure()}."


def _cpu_pressure() -> str:
    try:
        some = re.search(r"^some .*avg60=([\d.]+)", _PRESSURE.read_text(), re.MULTILINE)
    except OSError:
        return ""
    return f", and processes waited for a core {float(some[1]):.0f}% of the time" if some else ""
