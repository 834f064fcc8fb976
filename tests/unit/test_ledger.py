"""The two rules: reading a video's state, and changing it only from the state that was read."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from functions.shared.errors import OutcomeUnknown
from functions.shared.streams.ledger import Ledger, LostRace, Snapshot
from functions.shared.streams.video_events import VideoEvent
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.video.events import Cancelled, Deleted, EventName
from tests.fakes import MemoryBus
from tests.unit.events import CREATED, LEASE, completed, progressed, publish, started


def _event(key: VideoKey, name: EventName = EventName.STARTED, data: object = None) -> VideoEvent:
    return VideoEvent.new(key, name, data or started(key), source="/test")  # type: ignore[arg-type]


def test_a_video_that_nobody_spoke_of_is_empty(ledger: Ledger, key: VideoKey) -> None:
    """No message means sequence 0: at most a request exists."""
    assert ledger.read(key) == Snapshot(key)


def test_the_newest_event_is_the_state(ledger: Ledger, key: VideoKey) -> None:
    """Whatever came before, the last event tells everything."""
    one = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    two = publish(ledger, one, EventName.COMPLETED, completed(started(key)))
    assert (two.name, two.terminal, two.attempt, two.created_at) == (
        EventName.COMPLETED,
        True,
        1,
        CREATED,
    )


def test_decisions_are_made_on_what_the_leader_says(
    ledger: Ledger, bus: MemoryBus, key: VideoKey
) -> None:
    """A replica that lags behind would still show a deleted video as running."""
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
def test_an_event_with_impossible_data_is_not_believed(
    ledger: Ledger, bus: MemoryBus, key: VideoKey, change: dict[str, Any]
) -> None:
    """A forged one can name neither another account's files nor a time that no database holds."""
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
    """Two workers claim the same state: one of them gets the video."""
    ledger.publish(Snapshot(key), _event(key))
    with pytest.raises(LostRace) as lost:
        ledger.publish(Snapshot(key), _event(key, data=started(key, lease="1" * 32)))
    assert lost.value.newest.lease_id == LEASE


@pytest.mark.parametrize("fault", ["lost", "answer lost", "busy"])
def test_a_publish_is_repeated_until_its_outcome_is_known(
    ledger: Ledger, bus: MemoryBus, key: VideoKey, fault: str
) -> None:
    """Whether it was stored, was lost or met another in process: one message, and it is won."""
    bus.faults.extend([fault, fault])
    event = _event(key)
    ledger.publish(Snapshot(key), event)
    assert ledger.read(key).event_id == event.id
    assert len(bus.list_subjects(VIDEOS, key.events_filter)) == 1


def test_an_event_of_the_same_lease_is_built_upon(
    ledger: Ledger, bus: MemoryBus, key: VideoKey
) -> None:
    """A renewal whose answer was lost does not make its own worker lose the video."""
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


def test_somebody_else_with_an_older_state_is_not_taken_for_the_same_lease(
    ledger: Ledger, key: VideoKey
) -> None:
    """Only the lease's own events are built upon: a cancellation in between wins."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, state, EventName.CANCELLED, Cancelled(created_at=CREATED))
    with pytest.raises(LostRace):
        ledger.publish(
            state,
            _event(key, EventName.COMPLETED, completed(started(key))),
            lease_id=LEASE,
        )


def test_a_deadline_ends_the_trying_and_says_that_nothing_is_known(
    ledger: Ledger, bus: MemoryBus, key: VideoKey
) -> None:
    """A caller who waits hears 'unknown', never 'failed'."""
    bus.unavailable = True
    begun = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        ledger.publish(Snapshot(key), _event(key), deadline=begun + 0.3)
    assert time.monotonic() - begun < 2


def test_a_state_that_has_vanished_is_lost_and_not_waited_for_for_ever(
    ledger: Ledger, bus: MemoryBus, key: VideoKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator purged it, or it expired: the publisher hears so, and goes on with its life."""
    monkeypatch.setattr("functions.shared.streams.ledger.ELECTION_SECONDS", 0.1)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    bus.purge(VIDEOS, key.events_filter)
    with pytest.raises(LostRace) as lost:
        ledger.publish(state, _event(key, EventName.COMPLETED, completed(started(key))))
    assert lost.value.newest == Snapshot(key)


def test_a_step_that_the_life_of_a_video_does_not_have_is_a_mistake(
    ledger: Ledger, key: VideoKey
) -> None:
    """Nothing follows a completion but a deletion: the code may not even try."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    state = publish(ledger, state, EventName.COMPLETED, completed(started(key)))
    with pytest.raises(ValueError, match="can't follow"):
        ledger.publish(state, _event(key, EventName.STARTED))


def test_a_lease_is_measured_in_the_streams_own_time(
    ledger: Ledger, bus: MemoryBus, key: VideoKey
) -> None:
    """It runs from the event's timestamp, and no clock of ours is asked."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key, seconds=20))
    bus.advance(5)
    assert ledger.lease_left(state) == pytest.approx(15, abs=0.1)
    bus.advance(15)
    assert ledger.lease_left(state) <= 0


def test_a_lease_that_was_given_back_may_be_taken_at_once(ledger: Ledger, key: VideoKey) -> None:
    """Zero seconds mean: nobody works on it."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key, seconds=0))
    assert ledger.lease_left(state) <= 0


def test_after_an_outage_no_lease_counts_as_expired_for_a_while(
    ledger: Ledger, bus: MemoryBus, key: VideoKey
) -> None:
    """A worker that could not renew gets the time to do so, before another takes the video."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key, seconds=20))
    bus.advance(60)
    bus.connected_seconds = 5
    assert ledger.lease_left(state) == pytest.approx(10)
    bus.connected_seconds = 16
    assert ledger.lease_left(state) <= 0


def test_a_released_lease_stays_released_through_an_outage(
    ledger: Ledger, bus: MemoryBus, key: VideoKey
) -> None:
    """Its worker has said that it is done with it: there is nothing to wait for."""
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key, seconds=0))
    bus.connected_seconds = 0
    assert ledger.lease_left(state) <= 0
