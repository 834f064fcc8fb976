"""The checker itself: a promise that is broken must not pass unseen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.faults.histories import History
from tests.e2e.faults.streams import Stored
from tests.e2e.faults.watcher import Watcher

KEY = ("acme", "video_1")


def _event(seq: int, name: str, time: float, **data: Any) -> Stored:
    payload = json.dumps({"data": {"attempt": 1, **data}}).encode()
    return Stored(f"kinora.videos.acme.video_1.{name}", seq, time, payload)


def _started(seq: int, time: float, attempt: int = 1) -> Stored:
    lease = {"id": f"lease-{attempt}", "seconds": 4}
    return _event(seq, "started", time, attempt=attempt, lease=lease)


def _progressed(seq: int, time: float, percent: int, **lease: Any) -> Stored:
    held = {"id": "lease-1", "seconds": 4, **lease}
    return _event(seq, "progressed", time, progress=percent, lease=held)


def _problems(*events: Stored) -> list[str]:
    newest = {event.subject: event for event in events}
    return list(History(KEY, [], list(events), list(newest.values())).check())


def test_an_ordinary_life_is_no_finding() -> None:
    """Attempt one is released, attempt two completes, and later the video is deleted."""
    released = _progressed(2, 101, 50, seconds=0)
    completed = _event(4, "completed", 110, attempt=2)
    life = [_started(1, 100), released, _started(3, 101.5, 2), completed]
    assert _problems(*life) == []
    tombstone = Stored("kinora.videos.acme.video_1.deleted", 5, 120, b'{"data":{"created_at":"x"}}')
    assert list(History(KEY, [], [*life, tombstone], [tombstone]).check()) == []


def test_what_the_audit_missed_is_no_finding() -> None:
    """Attempt 2 is no surprise if a message before it is missing; attempt 1 after it would be."""
    events = [_started(3, 110, 2), _event(4, "completed", 120, attempt=2)]
    newest = {event.subject: event for event in events}
    history = History(KEY, [], events, list(newest.values()), unseen=frozenset({2}))
    assert list(history.check()) == []
    backwards = [*events, _started(7, 121, 1)]
    history = History(KEY, [], backwards, backwards, unseen=frozenset({2, 6}))
    assert any("attempt 1 begins after attempt 2" in problem for problem in history.check())
    early = [_started(1, 100), _started(3, 102, 2), _event(4, "completed", 110, attempt=2)]
    history = History(KEY, [], early, early[1:], unseen=frozenset({2}))
    assert any("was taken over 2.00" in problem for problem in history.check())


@pytest.mark.parametrize(
    ("events", "finding"),
    [
        ([_started(1, 100)], "is started for ever"),
        (
            [_started(1, 100), _event(2, "completed", 101), _event(3, "completed", 102)],
            "ended 2 times",
        ),
        (
            [_started(1, 100), _event(2, "cancelled", 101), _progressed(3, 102, 5)],
            "is progressed after its end",
        ),
        ([_started(1, 100), _started(2, 102, 2), _event(3, "failed", 103)], "was taken over 2.00"),
        ([_started(1, 100), _started(2, 105, 3), _event(3, "failed", 106)], "attempt 3 begins"),
        (
            [_started(1, 100), _started(2, 105, 2), _progressed(3, 106, 9), _event(4, "failed", 9)],
            "attempt 1 is progressed while attempt 2 runs",
        ),
        (
            [_started(1, 100), _progressed(2, 101, 5, id="other"), _event(3, "failed", 102)],
            "two leases",
        ),
        (
            [_started(1, 100), _progressed(2, 101, 5), _progressed(3, 102, 4)],
            "falls back from 5 to 4 %",
        ),
        ([_started(1, 100), _event(2, "deleted", 101, created_at="x")], "is deleted, and still"),
    ],
)
def test_a_broken_promise_is_found(events: list[Stored], finding: str) -> None:
    """Each by its own words."""
    assert any(problem.startswith(finding) for problem in _problems(*events))


def test_a_final_state_that_a_watcher_missed_is_found() -> None:
    """What it was not told is named; what it heard of, and what others own, is not."""
    watcher = Watcher("http://nowhere", "acme", "key")
    life = [_started(1, 100), _event(2, "completed", 110)]
    history = History(KEY, [], life, life)
    elsewhere = History(("zenith", "video_2"), [], life, life)
    assert watcher.finish([history, elsewhere], seconds=0) == [
        "acme never heard that video_1 is completed"
    ]
    event = {"account": "acme", "subject": "video_1", "type": "dev.kinora.video.completed.v1"}
    watcher._take({"id": "1-2", "data": json.dumps(event)})
    watcher._began, watcher._strange = 0, []
    assert watcher.finish([history], seconds=0) == []
