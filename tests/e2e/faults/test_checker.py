"""The checker itself: it must detect every broken promise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.faults.history import History
from tests.e2e.faults.streams import StoredMessage
from tests.e2e.faults.watcher import Watcher

KEY = ("acme", "video_1")


def _event(seq: int, name: str, time: float, **data: Any) -> StoredMessage:
    payload = json.dumps({"data": {"attempt": 1, **data}}).encode()
    return StoredMessage(f"kinora.videos.acme.video_1.{name}", seq, time, payload)


def _started(seq: int, time: float, attempt: int = 1) -> StoredMessage:
    lease = {"id": f"lease-{attempt}", "seconds": 4}
    return _event(seq, "started", time, attempt=attempt, lease=lease)


def _progressed(seq: int, time: float, percent: int, **lease: Any) -> StoredMessage:
    current = {"id": "lease-1", "seconds": 4, **lease}
    return _event(seq, "progressed", time, progress=percent, lease=current)


def _tombstone(seq: int, time: float) -> StoredMessage:
    """Of a video that was completed."""
    payload = b'{"data":{"created_at":"x","usage":{}}}'
    return StoredMessage("kinora.videos.acme.video_1.deleted", seq, time, payload)


def _violations(*events: StoredMessage) -> list[str]:
    newest = {event.subject: event for event in events}
    return list(History(KEY, [], list(events), list(newest.values())).check())


def test_a_valid_history_passes() -> None:
    """Attempt 1 is released, attempt 2 completes, and later the video is deleted."""
    released = _progressed(2, 101, 50, seconds=0)
    completed = _event(4, "completed", 110, attempt=2)
    events = [_started(1, 100), released, _started(3, 101.5, 2), completed]
    assert _violations(*events) == []
    tombstone = _tombstone(5, 120)
    assert list(History(KEY, [], [*events, tombstone], [tombstone]).check()) == []


def test_gaps_in_the_audit_are_not_violations() -> None:
    """A gap excuses a skipped attempt, but neither a lower number nor an early takeover."""
    events = [_started(3, 110, 2), _event(4, "completed", 120, attempt=2)]
    newest = {event.subject: event for event in events}
    history = History(KEY, [], events, list(newest.values()), missed=frozenset({2}))
    assert list(history.check()) == []
    backwards = [*events, _started(7, 121, 1)]
    history = History(KEY, [], backwards, backwards, missed=frozenset({2, 6}))
    assert any("attempt 1 started after attempt 2" in violation for violation in history.check())
    early = [_started(1, 100), _started(3, 102, 2), _event(4, "completed", 110, attempt=2)]
    history = History(KEY, [], early, early[1:], missed=frozenset({2}))
    assert any("was taken over 2.00" in violation for violation in history.check())


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([_started(1, 100)], "is started, which is not a final state"),
        (
            [_started(1, 100), _event(2, "completed", 101), _event(3, "completed", 102)],
            "finished 2 times",
        ),
        (
            [_started(1, 100), _event(2, "cancelled", 101), _progressed(3, 102, 5)],
            "is progressed after a final state",
        ),
        ([_started(1, 100), _started(2, 102, 2), _event(3, "failed", 103)], "was taken over 2.00"),
        ([_started(1, 100), _started(2, 105, 3), _event(3, "failed", 106)], "attempt 3 started"),
        (
            [_started(1, 100), _started(2, 105, 2), _progressed(3, 106, 9), _event(4, "failed", 9)],
            "attempt 1 is progressed during attempt 2",
        ),
        (
            [_started(1, 100), _progressed(2, 101, 5, id="other"), _event(3, "failed", 102)],
            "one attempt has two leases",
        ),
        (
            [_started(1, 100), _progressed(2, 101, 5), _progressed(3, 102, 4)],
            "progress decreased from 5 to 4 %",
        ),
        ([_started(1, 100), _event(2, "deleted", 101, created_at="x")], "is deleted, but still"),
        (
            [_started(1, 100), _tombstone(2, 101)],
            "is deleted, but its tombstone has the fields ['created_at', 'usage']",
        ),
        (
            [
                _started(1, 100),
                _event(2, "failed", 101, error={"message": "The object store refuses"}),
            ],
            "attempt 1 was burnt",
        ),
    ],
)
def test_a_violation_is_reported(events: list[StoredMessage], expected: str) -> None:
    """Each kind of violation has its own message."""
    assert any(violation.startswith(expected) for violation in _violations(*events))


def test_a_final_state_that_the_watcher_missed_is_reported() -> None:
    """Events that it received, and events of other accounts, are not reported."""
    watcher = Watcher("http://nowhere", "acme", "key")
    events = [_started(1, 100), _event(2, "completed", 110)]
    history = History(KEY, [], events, events)
    elsewhere = History(("zenith", "video_2"), [], events, events)
    assert watcher.finish([history, elsewhere], seconds=0) == [
        "acme never received that video_1 is completed"
    ]
    event = {"account": "acme", "subject": "video_1", "type": "dev.kinora.video.completed.v1"}
    watcher._handle({"id": "1-2", "data": json.dumps(event)})
    watcher._first_seq, watcher._violations = 0, []
    assert watcher.finish([history], seconds=0) == []
