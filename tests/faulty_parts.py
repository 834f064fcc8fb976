"""Parts of a benchmark that fail, die or never end, and one that measures something."""

from __future__ import annotations

import os
import threading

from benchmarks.supervised_parts import Emit


def measure(emit: Emit, seconds: float = 1.5) -> None:
    """One figure, with the process that measured it."""
    emit(figure="step", seconds=seconds, process=os.getpid())


def fail(emit: Emit) -> None:
    """Fail after a figure."""
    emit(figure="before")
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def die(_: Emit) -> None:
    """As a process that is killed for its memory."""
    os._exit(9)


def hang(emit: Emit) -> None:
    """Never end, after a figure."""
    emit(figure="before")
    threading.Event().wait()
