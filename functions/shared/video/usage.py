"""What a completed video has used."""

from __future__ import annotations

from collections.abc import Mapping

from functions.shared.timestamps import format_rfc3339
from functions.shared.video.events import Completed, Usage


def gpu_seconds(data: Completed) -> float:
    """Seconds of its successful attempt, times the engine's processes that made it."""
    return seconds_of_ranks(data.timings, data.engine.ranks if data.engine else 1)


def seconds_of_ranks(timings: Mapping[str, float], ranks: int) -> float:
    """As `gpu_seconds`, of an attempt's seconds by stage."""
    return sum(timings.values()) * ranks


def usage_of(data: Completed, time: int) -> Usage:
    """What the video used whose event `completed` has JetStream's timestamp `time`."""
    return Usage(
        completed_at=format_rfc3339(time),
        gpu_seconds=round(gpu_seconds(data), 3),
        bytes=data.output.bytes,
    )
