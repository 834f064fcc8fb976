"""The workers of `generate`, as far as the events of videos reveal them. Not thread-safe."""

from __future__ import annotations

import statistics
from collections import deque
from typing import Final

from functions.shared.timestamps import NANOSECONDS

# How long an idle replica keeps running (scale-down-delay in the manifests).
SCALE_DOWN_SECONDS: Final = 600
# Past this, a free slot is assumed unavailable. Longer than any pause of `dispatch`.
STALLED_SECONDS: Final = 30
HANDOVER_SAMPLES: Final = 50


class Fleet:
    """How many slots there are, and how long a slot takes from one video to the next.

    Times are JetStream's, in nanoseconds.
    """

    def __init__(self, *, min_replicas: int, max_in_flight: int) -> None:
        """Expect `min_replicas` workers, and up to `max_in_flight` once they have been seen."""
        self._min_replicas = min(min_replicas, max_in_flight)
        self._max_in_flight = max_in_flight
        self.clear()

    def clear(self) -> None:
        """Forget all workers."""
        self._handovers: deque[float] = deque(maxlen=HANDOVER_SAMPLES)
        self._last_seen: dict[str, int] = {}
        self._last_end = 0

    def record_start(self, worker: str, created: int, started: int) -> None:
        """A video created at `created` was started by `worker`; call before its `record_end`."""
        idle_since = self._last_seen.get(worker, 0)
        # Only a video that was already waiting measures the handover, and not the idle time.
        if created < idle_since < started:
            self._handovers.append((started - idle_since) / NANOSECONDS)

    def record_end(self, worker: str, ended: int) -> None:
        """A video of `worker` reached a terminal state."""
        self._last_end = max(self._last_end, ended)
        self._last_seen[worker] = max(self._last_seen.get(worker, 0), ended)

    @property
    def handover_seconds(self) -> float:
        """Median time from one video's end to the next one's start; 0 while unknown."""
        return statistics.median(self._handovers) if self._handovers else 0.0

    def free_slots(self, running: int, oldest_waiting: int | None, now: float) -> int:
        """Slots that take the next request at once.

        Args:
            running: the number of running videos.
            oldest_waiting: when the first waiting request was created; None if none waits.
            now: JetStream's time, in seconds.
        """
        seen_after = (now - SCALE_DOWN_SECONDS) * NANOSECONDS
        self._last_seen = {name: at for name, at in self._last_seen.items() if at > seen_after}
        slots = min(self._max_in_flight, max(self._min_replicas, len(self._last_seen)))
        free = max(0, slots - running)
        if oldest_waiting is not None and free:
            waiting_since = max(oldest_waiting, self._last_end) / NANOSECONDS
            if now - waiting_since > STALLED_SECONDS:
                return 0
        return free
