"""What the engine is doing, for how long it has done so, and how it started."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from functions.generate.engine.messages import ModelLoaded


class EngineState(StrEnum):
    """What the engine is doing; it is in one of these states at any time."""

    STARTING = "starting"
    IDLE = "idle"
    RENDERING = "rendering"
    # A start has failed; another one follows, unless the model can't be loaded at all.
    FAILED = "failed"


class Loss(StrEnum):
    """Why the processes of an engine are replaced."""

    EXITED = "exited"
    HUNG = "hung"
    LOAD_TIMEOUT = "load_timeout"
    # The exchange of messages with them broke off.
    INTERRUPTED = "interrupted"
    START_FAILED = "start_failed"


@dataclass(frozen=True)
class EngineActivity:
    """What an engine has done so far.

    Attributes:
        state: what it does now.
        seconds: how long it has been in each state.
        restarts: how often it was started again, by the reason.
        started: what its first process reported at the latest start; None before the first.
    """

    state: EngineState
    seconds: Mapping[EngineState, float]
    restarts: Mapping[Loss, int]
    started: ModelLoaded | None


class ActivityRecord:
    """Keeps the times and the counts of an `EngineActivity`. Safe to use from any thread."""

    def __init__(self) -> None:
        """The engine is about to start."""
        self._lock: Final = threading.Lock()
        self._state = EngineState.STARTING
        self._since = time.monotonic()
        self._seconds = dict.fromkeys(EngineState, 0.0)
        self._restarts: Counter[Loss] = Counter(dict.fromkeys(Loss, 0))
        self._started: ModelLoaded | None = None

    def enter(self, state: EngineState, *, only_from: EngineState | None = None) -> None:
        """The engine is in `state` from now on, if it is in `only_from`."""
        with self._lock:
            if only_from in (None, self._state):
                now = time.monotonic()
                self._seconds[self._state] += now - self._since
                self._state, self._since = state, now

    def started(self, report: ModelLoaded | None) -> None:
        """The engine is ready; its first process has sent `report`."""
        with self._lock:
            self._started = report
        self.enter(EngineState.IDLE)

    def lost(self, loss: Loss) -> None:
        """The engine is started again, because of `loss`."""
        with self._lock:
            self._restarts[loss] += 1
        self.enter(EngineState.STARTING)

    def read(self) -> EngineActivity:
        """All of it, as of now."""
        with self._lock:
            seconds = dict(self._seconds)
            seconds[self._state] += time.monotonic() - self._since
            return EngineActivity(self._state, seconds, dict(self._restarts), self._started)
