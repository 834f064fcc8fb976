"""Time and memory of the stages of a render."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from functions.generate.engine.model.memory import PeakMemory
from functions.shared.video.progress import Stage


class StageMeter:
    """Measures stages, one after the other.

    Attributes:
        seconds: by stage.
        peak_bytes: the most memory in use, by stage; without those that the system tells nothing
            about.
    """

    def __init__(self, memory: PeakMemory) -> None:
        self.seconds: dict[str, float] = {}
        self.peak_bytes: dict[str, int] = {}
        self._memory = memory

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Measure the block. Its end must have waited for the device."""
        self._memory.reset()
        began = time.perf_counter()
        yield
        self.seconds[stage.value] = round(time.perf_counter() - began, 3)
        peak = self._memory.bytes()
        if peak is not None:
            self.peak_bytes[stage.value] = peak
