"""A video that a worker is rendering, and how long that still takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from functions.shared.streams.video_state import Snapshot
from functions.shared.timestamps import NANOSECONDS, parse_rfc3339
from functions.shared.video.costs import CostModel, Work, remaining_seconds
from functions.shared.video.events import Progressed, Started
from functions.shared.video.progress import SHARES, Stage

# Three times the usual lease: past this, the worker is assumed lost, and another one restarts the
# video.
LOST_WORKER_SECONDS: Final = 60


@dataclass(frozen=True)
class RunningVideo:
    """A running video, as its newest event describes it. Times in JetStream's nanoseconds.

    Attributes:
        work: what determines its cost.
        attempt: the number of the attempt.
        attempt_started: None if unknown.
        last_event: the time of the newest event.
        stage: the current stage.
        progress: percent of the whole video.
        released: the worker gave the video back.
    """

    work: Work
    attempt: int
    attempt_started: int | None
    last_event: int
    stage: Stage
    progress: int
    released: bool

    @classmethod
    def from_event(
        cls, snapshot: Snapshot, data: Started, work: Work, previous: RunningVideo | None
    ) -> RunningVideo:
        """The state after the event `snapshot` with `data`; `previous` is the state before it."""
        running = cls(
            work,
            data.attempt,
            _attempt_started(snapshot, data, previous),
            snapshot.time,
            Stage.ENCODING,
            0,
            data.lease.seconds == 0,
        )
        if isinstance(data, Progressed) and data.stage in SHARES:
            return replace(running, stage=Stage(data.stage), progress=data.progress)
        return running

    def remaining(self, costs: CostModel, now: float) -> float | None:
        """Seconds until the video is completed, at JetStream's time `now` in seconds.

        A video that was given back, or whose worker is lost, restarts from the beginning.

        Returns:
            Seconds, never negative; None if too little is known.
        """
        expected = costs.expected_seconds(self.work)
        since_last_event = now - self.last_event / NANOSECONDS
        if self.released or since_last_event > LOST_WORKER_SECONDS:
            return sum(expected.values()) if expected else None
        elapsed = None
        if self.attempt_started is not None:
            elapsed = (self.last_event - self.attempt_started) / NANOSECONDS
        seconds = remaining_seconds(expected, self.stage, self.progress, elapsed)
        return None if seconds is None else max(0.0, seconds - since_last_event)


def _attempt_started(
    snapshot: Snapshot, data: Started, previous: RunningVideo | None
) -> int | None:
    if not isinstance(data, Progressed):
        return snapshot.time
    if previous is not None and previous.attempt == data.attempt:
        return previous.attempt_started
    # `started_at` is that of the first attempt.
    if data.attempt == 1 and data.started_at is not None:
        return parse_rfc3339(data.started_at)
    return None
