"""What accounts used, by day."""

from __future__ import annotations

from typing import Any

import pytest

from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import DAY_SECONDS, NANOSECONDS, format_rfc3339
from functions.shared.video.events import Deleted, EngineUsed, EventName, Usage
from functions.status.usage import UsageByDay
from tests.unit.events import CREATED, completed, progressed, started

DAY = DAY_SECONDS * NANOSECONDS
TODAY = 20_000
NOON = TODAY * DAY + DAY // 2
KEY = VideoKey("acme", "v1")


@pytest.fixture
def usage() -> UsageByDay:
    """Of the last three days."""
    return UsageByDay(max_age_days=3)


def _completed(key: VideoKey, time: int, *, ranks: int = 1) -> Snapshot:
    data = completed(started(key), prefix=f"{key.object_prefix}1-x/")
    engine = EngineUsed(
        device="GPU", ranks=ranks, precision="bfloat16", attention="cudnn", compiled=True
    )
    data = data.model_copy(
        update={"timings": {"denoising": 2.0, "decoding": 0.5}, "engine": engine}
    )
    return Snapshot(key, 1, EventName.COMPLETED, "1", data, time)


def _deleted(key: VideoKey, completed_at: int, time: int) -> Snapshot:
    used = Usage(completed_at=format_rfc3339(completed_at), gpu_seconds=5.0, bytes=3)
    return Snapshot(key, 2, EventName.DELETED, "2", Deleted(created_at=CREATED, usage=used), time)


def _read(usage: UsageByDay, account: str | None = "acme") -> list[tuple[Any, ...]]:
    days = usage.read(account, NOON)
    return [(one.day - TODAY, one.account, one.videos, one.gpu_seconds, one.bytes) for one in days]


def test_a_day_has_the_seconds_of_all_gpus(usage: UsageByDay) -> None:
    """Times the processes, of which each has its own GPU."""
    usage.apply(_completed(KEY, NOON, ranks=2))
    usage.apply(_completed(VideoKey("acme", "v2"), NOON - DAY))
    assert _read(usage) == [(-1, "acme", 1, 2.5, 3), (0, "acme", 1, 5.0, 3)]


def test_days_begin_at_midnight_utc(usage: UsageByDay) -> None:
    """To the nanosecond."""
    usage.apply(_completed(KEY, TODAY * DAY - 1))
    usage.apply(_completed(VideoKey("acme", "v2"), TODAY * DAY))
    assert [day for day, *_ in _read(usage)] == [-1, 0]


def test_accounts_are_apart(usage: UsageByDay) -> None:
    """None stands for all of them."""
    usage.apply(_completed(KEY, NOON))
    usage.apply(_completed(VideoKey("other", "v1"), NOON))
    assert [account for _, account, *_ in _read(usage)] == ["acme"]
    assert [account for _, account, *_ in _read(usage, None)] == ["acme", "other"]


@pytest.mark.parametrize("seen", ["both", "deleted only", "deleted first"])
def test_a_deleted_video_counts_once_on_the_day_of_its_completion(
    usage: UsageByDay, seen: str
) -> None:
    """Whichever of its events is still there, and in whichever order they come."""
    events = [_completed(KEY, NOON - DAY, ranks=2), _deleted(KEY, NOON - DAY, NOON)]
    for event in {"both": events, "deleted only": events[1:], "deleted first": events[::-1]}[seen]:
        usage.apply(event)
    assert _read(usage) == [(-1, "acme", 1, 5.0, 3)]


def test_an_event_that_comes_again_counts_once(usage: UsageByDay) -> None:
    """Also with another time: a lost event that was published again."""
    usage.apply(_completed(KEY, NOON - DAY))
    usage.apply(_completed(KEY, NOON))
    assert [day for day, *_ in _read(usage)] == [-1]


def test_what_is_not_completed_used_nothing(usage: UsageByDay) -> None:
    """Neither does a tombstone of an older version."""
    begun = started(KEY)
    usage.apply(Snapshot(KEY, 1, EventName.STARTED, "1", begun, NOON))
    usage.apply(Snapshot(KEY, 2, EventName.PROGRESSED, "2", progressed(begun), NOON))
    usage.apply(Snapshot(KEY, 3, EventName.DELETED, "3", Deleted(created_at=CREATED), NOON))
    assert _read(usage) == []


def test_days_that_the_stream_has_lost_in_part_are_left_out(usage: UsageByDay) -> None:
    """Today is one of the days that it keeps."""
    for age in range(5):
        usage.apply(_completed(VideoKey("acme", f"v{age}"), NOON - age * DAY))
    assert [day for day, *_ in _read(usage)] == [-2, -1, 0]
    usage.clear()
    assert _read(usage) == []
