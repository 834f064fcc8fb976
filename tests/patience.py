"""Time limits that stretch while the machine has no processor time to give.

Limits count seconds of processor time that the machine had to give: with eight runnable tasks on
two cores, their clock runs at a quarter of real time. A sampler reads the kernel's counters four
times a second, so a limit follows the load while a test waits.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

# A limit never becomes longer than this many times itself, so that a test ends on any machine.
MAX_STRETCH: Final = 15.0
# From this slowness on, a test's failure names the machine's load.
SLOW: Final = 4.0

_SAMPLE_SECONDS: Final = 0.25
# A sampler that wakes up later than this was itself kept waiting: by an overcommitted host, a
# container's quota, or the load. That time was not served.
_MAX_SAMPLE_GAP: Final = 2 * _SAMPLE_SECONDS
_RECENT_SAMPLES: Final = 20  # 5 s


class Starved(AssertionError):
    """The machine did not serve the test, which says nothing about what the test checks."""


@dataclass(frozen=True)
class Reading:
    """The clock at one moment, in seconds.

    Attributes:
        wall: real time.
        served: of that time, what the machine had processor time for.
    """

    wall: float
    served: float

    def slowness(self, since: Reading) -> float:
        """How many times longer than on an idle machine things took `since` then; at least 1."""
        served = self.served - since.served
        return max(1.0, (self.wall - since.wall) / served) if served > 0 else 1.0


class _Clock:
    """Counts the seconds that the machine has served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = Reading(time.monotonic(), 0.0)
        self._steal = _read_steal()
        self._tasks_per_core = 1.0
        self._recent = deque([self._last], _RECENT_SAMPLES)
        self._sampler: threading.Thread | None = None

    def read(self) -> Reading:
        """Return the time now; the first call starts the sampler."""
        with self._lock:
            if self._sampler is None:
                self._sampler = threading.Thread(target=self._sample, daemon=True)
                self._sampler.start()
            return self._advance()

    def recent_slowness(self) -> float:
        """Return the slowness of the last seconds."""
        now = self.read()
        return now.slowness(self._recent[0])

    def _advance(self) -> Reading:
        now = time.monotonic()
        passed = min(now - self._last.wall, _MAX_SAMPLE_GAP)
        self._last = Reading(now, self._last.served + passed / self._tasks_per_core)
        return self._last

    def _sample(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(_SAMPLE_SECONDS)
            self._recent.append(self.read())
            # On a virtual machine, the host may have kept a part of the cores for others ("steal").
            before, self._steal = self._steal, _read_steal()
            stolen = (self._steal[0] - before[0]) / max(1, self._steal[1] - before[1])
            cores = len(os.sched_getaffinity(0)) * max(0.05, 1 - stolen)
            self._tasks_per_core = max(1.0, runnable_tasks() / cores)


def runnable_tasks() -> int:
    """How many tasks run or wait for a core at this moment, this one included."""
    # proc(5): "1.25 0.90 0.50 3/412 9876"; the fourth field is runnable/all.
    return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])


def _read_steal() -> tuple[int, int]:
    """Ticks of all cores that the host kept for others, and all ticks, since the start."""
    with Path("/proc/stat").open() as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    return ticks[7], sum(ticks)


_clock: Final = _Clock()
now: Final = _clock.read


def describe_load(since: Reading) -> str:
    """What the machine was doing `since` then, for a failure's message."""
    slowness, cores = now().slowness(since), len(os.sched_getaffinity(0))
    load = Path("/proc/loadavg").read_text().split()[0]
    return (
        f"the machine was {slowness:.1f} times slower than an idle one "
        f"(load {load}, {runnable_tasks()} runnable tasks, {cores} cores)"
    )


def scaled(seconds: float) -> float:
    """A time limit for a call that can't be extended while it waits, such as an HTTP request.

    It is `seconds` on an idle machine, else twice what these would take at the load of the last
    seconds, as the load may grow.
    """
    slowness = _clock.recent_slowness()
    return seconds * (1.0 if slowness < 1.5 else min(MAX_STRETCH, 2 * slowness))


class Limit:
    """A limit of `seconds` on an idle machine, and of `most` times that in real time."""

    def __init__(self, seconds: float, *, most: float = MAX_STRETCH) -> None:
        self.seconds: Final = seconds
        self.start: Final = now()
        self._wall: Final = self.start.wall + seconds * most

    @property
    def left(self) -> float:
        """The least number of seconds until it is reached; 0 or less afterwards."""
        reading = now()
        served = self.start.served + self.seconds - reading.served
        return min(served, self._wall - reading.wall)

    def failure(self, what: str) -> AssertionError:
        """The error to raise when it has been reached: `Starved`, if the machine is the reason."""
        reading = now()
        waited = reading.wall - self.start.wall
        if reading.slowness(self.start) < SLOW:
            return AssertionError(f"timed out after {waited:.0f} s: {what}")
        return Starved(f"timed out after {waited:.0f} s, as {describe_load(self.start)}: {what}")


def wait_until(
    condition: Callable[[], T | None], *, seconds: float, what: str, every: float = 0.05
) -> T:
    """Call `condition` until it returns something true, and return that.

    For conditions of other processes, which set no event of ours. The limit stretches on a busy
    machine.

    Raises:
        AssertionError: the limit was reached; `Starved`, if the machine is the reason.
    """
    limit, pause = Limit(seconds), threading.Event()
    while True:
        answer = condition()
        if answer:
            return answer
        if limit.left <= 0:
            raise limit.failure(what)
        pause.wait(every)
