"""Reading the state of a video, and changing it only if it is still the state that was read."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from functions.shared.errors import OutcomeUnknown
from functions.shared.streams.ledger import Ledger, LostRace
from functions.shared.streams.video_events import VideoEvent
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.video.events import Cancelled, Deleted, EventName
from tests.fakes import MemoryBus
from tests.patience import now
from tests.unit.events import CREATED, LEASE, completed, progressed, publish, started


def _event(key: VideoKey, name: EventName = EventName.STARTED, data: object = None) -> VideoEvent:
    return VideoEvent.new(key, name, data or started(key), source="/test")  # type: ignore[arg-type]


def test_a_video_without_events_has_the_empty_state(ledger: Ledger, key: VideoKey) -> None:
    """Without an event, the sequence is 0, and there may be a request."""
    assert ledger.read(key) == Snapshot(key)


def test_the_newest_event_is_the_state(ledger: Ledger, key: VideoKey) -> None:
    """The newest event alone has the whole state."""
    one = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    two = publish(ledger, one, EventName.COMPLETED, completed(started(key)))
    assert (two.name, two.terminal, two.attempt, two.created_at) == (
        EventName.COMPLETED,
        True,
        1,
        CREATED,
    )


def test_states_are_read_from_the_leader(ledger: Ledger, bus: MemoryBus, key: VideoKey) -> None:
    """A stale replica would still report a deleted video as running."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    bus.lag()
    publish(ledger, state, EventName.DELETED, Deleted(created_at=CREATED))
    assert ledger.read(key).deleted


def test_unreadable_events_are_ignored_unless_they_are_terminal(
    ledger: Ledger, bus: MemoryBus, key: VideoKey
) -> None:
    """Garbage stops no video, and a later version's `completed` is not rendered again."""
    seq = bus.inject(key.event_subject("started"), b"garbage")
    state = ledger.read(key)
    assert (state.seq, state.queued, state.unreadable) == (seq, True, True)
    ledger.publish(state, _event(key))
    bus.inject(key.event_subject("completed"), b"from the future")
    assert ledger.read(key).terminal


@pytest.mark.parametrize(
    "change",
    [
        {"created_at": "9999-12-31T23:59:59Z"},
        {"created_at": "yesterday"},
        {"started_at": ""},
        {"output": {"prefix": "other/video/1-x/"}},
        {"output": {"sha256": "a\r\nX-Evil: 1"}},
    ],
)
def test_an_event_with_invalid_data_is_unreadable(
    ledger: Ledger, bus: MemoryBus, key: VideoKey, change: dict[str, Any]
) -> None:
    """Forged data can neither name another account's files nor a time that overflows SQLite."""
    done = _event(key, EventName.COMPLETED, completed(started(key)))
    document = json.loads(done.to_bytes())
    for name, value in change.items():
        data = document["data"]
        data[name] = {**data[name], **value} if isinstance(value, dict) else value
    bus.inject(key.event_subject("completed"), json.dumps(document).encode())
    state = ledger.read(key)
    assert state.terminal
    assert state.data is None


def test_the_second_of_two_rivals_loses_and_learns_what_won(ledger: Ledger, key: VideoKey) -> None:
    """Of two workers that claim the same state, one gets the video."""
    ledger.publish(Snapshot(key), _event(key))
    with pytest.raises(LostRace) as lost:
        ledger.publish(Snapshot(key), _event(key, data=started(key, lease="1" * 32)))
    assert lost.value.newest.lease_id == LEASE


@pytest.mark.parametrize("fault", ["lost", "answer lost", "busy"])
def test_a_publish_is_retried_until_its_outcome_is_known(
    ledger: Ledger, bus: MemoryBus, key: VideoKey, fault: str
) -> None:
    """If it was lost, stored without an answer, or refused as busy, it is stored exactly once."""
    bus.faults.extend([fault, fault])
    event = _event(key)
    ledger.publish(Snapshot(key), event)
    assert ledger.read(key).event_id == event.id
    assert len(bus.list_subjects(VIDEOS, key.events_filter)) == 1


def test_an_event_follows_newer_events_of_its_own_lease(
    ledger: Ledger, bus: MemoryBus, key: VideoKey
) -> None:
    """A worker does not lose the video to its own renewal whose answer was lost."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    renewal = _event(key, EventName.PROGRESSED, progressed(started(key)))
    bus.faults.extend(["answer lost"])
    stop = threading.Event()
    stop.set()
    with pytest.raises(OutcomeUnknown):
        ledger.publish(state, renewal, lease_id=LEASE, give_up=stop)
    done = _event(key, EventName.COMPLETED, completed(started(key)))
    ledger.publish(state, done, lease_id=LEASE)
    assert ledger.read(key).name is EventName.COMPLETED


def test_a_newer_event_of_another_publisher_wins_over_a_lease(
    ledger: Ledger, key: VideoKey
) -> None:
    """An event follows only newer events of its own lease: a cancellation in between wins."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, state, EventName.CANCELLED, Cancelled(created_at=CREATED))
    with pytest.raises(LostRace):
        ledger.publish(
            state,
            _event(key, EventName.COMPLETED, completed(started(key))),
            lease_id=LEASE,
        )


def test_a_deadline_ends_the_retries_with_an_unknown_outcome(
    ledger: Ledger, bus: MemoryBus, key: VideoKey
) -> None:
    """The caller gets 'outcome unknown', and never 'failed'."""
    bus.unavailable = True
    begun = now()
    with pytest.raises(OutcomeUnknown):
        ledger.publish(Snapshot(key), _event(key), deadline=time.monotonic() + 0.3)
    assert now().served - begun.served < 2


def test_a_purged_state_ends_the_retries_with_a_lost_race(
    ledger: Ledger, bus: MemoryBus, key: VideoKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator purged it, or it expired: the publisher learns that it lost."""
    monkeypatch.setattr("functions.shared.streams.ledger.ELECTION_SECONDS", 0.1)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    bus.purge(VIDEOS, key.events_filter)
    with pytest.raises(LostRace) as lost:
        ledger.publish(state, _event(key, EventName.COMPLETED, completed(started(key))))
    assert lost.value.newest == Snapshot(key)


def test_an_event_that_the_protocol_does_not_allow_is_refused(
    ledger: Ledger, key: VideoKey
) -> None:
    """A completed video can only be deleted; anything else is a programming error."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    state = publish(ledger, state, EventName.COMPLETED, completed(started(key)))
    with pytest.raises(ValueError, match="can't follow"):
        ledger.publish(state, _event(key, EventName.STARTED))


def test_a_lease_is_measured_in_the_streams_own_time(
    ledger: Ledger, bus: MemoryBus, key: VideoKey
) -> None:
    """It runs from the event's timestamp, whatever the local clocks show."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key, seconds=20))
    bus.advance(5)
    assert ledger.lease_left(state) == pytest.approx(15, abs=0.1)
    bus.advance(15)
    assert ledger.lease_left(state) <= 0


def test_a_released_lease_has_no_time_left(ledger: Ledger, key: VideoKey) -> None:
    """A lease of zero seconds means that no worker has the video."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key, seconds=0))
    assert ledger.lease_left(state) <= 0


def test_no_lease_expires_during_the_grace_period_after_an_outage(
    ledger: Ledger, bus: MemoryBus, key: VideoKey
) -> None:
    """Workers that could not renew their lease get the time to do so."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key, seconds=20))
    bus.advance(60)
    bus.connected_seconds = 5
    assert ledger.lease_left(state) == pytest.approx(10)
    bus.connected_seconds = 16
    assert ledger.lease_left(state) <= 0


def test_a_released_lease_stays_released_through_an_outage(
    ledger: Ledger, bus: MemoryBus, key: VideoKey
) -> None:
    """The grace period is for leases that could not be renewed, and not for released ones."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key, seconds=0))
    bus.connected_seconds = 0
    assert ledger.lease_left(state) <= 0
