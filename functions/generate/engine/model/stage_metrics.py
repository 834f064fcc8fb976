"""Time and peak memory of the stages of a render."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from functions.generate.engine.model.memory import PeakMemory
from functions.shared.video.progress import Stage


class StageMetrics:
    """Measures stages, one after another.

    Attributes:
        seconds: the duration, by stage.
        peak_bytes: peak memory, by stage; a stage is left out if the system can't measure it.
    """

    def __init__(self, memory: PeakMemory) -> None:
        self.seconds: dict[str, float] = {}
        self.peak_bytes: dict[str, int] = {}
        self._memory = memory

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Measure a block, which must wait for the device before it ends."""
        self._memory.reset()
        started = time.perf_counter()
        yield
        self.seconds[stage.value] = round(time.perf_counter() - started, 3)
        peak = self._memory.peak_bytes()
        if peak is not None:
            self.peak_bytes[stage.value] = peak
