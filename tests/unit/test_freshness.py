"""A read from the index is not older than what JetStream had when the read arrived."""

from __future__ import annotations

import threading

import pytest

from functions.shared.errors import Unavailable
from functions.shared.subjects import ALL_VIDEOS, VIDEOS, VideoKey
from functions.shared.timestamps import DAY_SECONDS
from functions.status.freshness import StreamProgress
from functions.status.loss_watch import LossWatch
from tests.fakes import MemoryBus
from tests.patience import scaled, wait_until

KEY = VideoKey("acme", "v1")


@pytest.fixture
def progress(bus: MemoryBus) -> StreamProgress:
    """The progress of an index that has followed nothing yet."""
    return StreamProgress(bus, VIDEOS, ALL_VIDEOS, LossWatch(kept_seconds=DAY_SECONDS))


def _publish(bus: MemoryBus) -> int:
    return bus.inject(KEY.event_subject("started"), b"x")


def test_an_index_that_has_everything_is_confirmed(
    bus: MemoryBus, progress: StreamProgress
) -> None:
    """The confirmation tells JetStream's time."""
    progress.applied(_publish(bus))
    assert progress.confirmed(0) >= bus.clock


def test_a_reader_waits_for_the_index(bus: MemoryBus, progress: StreamProgress) -> None:
    """It goes on as soon as the index has what was stored."""
    seq = _publish(bus)
    reader = threading.Thread(target=progress.confirmed, args=(scaled(20),), daemon=True)
    reader.start()
    reader.join(0.05)
    assert reader.is_alive()
    progress.applied(seq)
    wait_until(lambda: not reader.is_alive(), seconds=10, what="the reader goes on")


def test_an_index_that_stays_behind_is_refused_at_once(
    bus: MemoryBus, progress: StreamProgress
) -> None:
    """Only the first readers wait; once it has caught up, it is believed again."""
    seq = _publish(bus)
    with pytest.raises(Unavailable):
        progress.confirmed(0.05)
    # Would hang for the whole patience if its own waiting counted alone.
    with pytest.raises(Unavailable):
        progress.confirmed(0.05)
    progress.applied(seq)
    progress.confirmed(0)


def test_what_was_removed_before_it_was_delivered_is_not_waited_for(
    bus: MemoryBus, progress: StreamProgress
) -> None:
    """Its sequence is the stream's last, and no follower will ever get it."""
    _publish(bus)
    bus.purge(VIDEOS, KEY.events_filter)
    progress.confirmed(0.01)
    progress.confirmed(0)


def test_a_recreated_stream_is_not_taken_for_the_one_that_was_followed(
    bus: MemoryBus, progress: StreamProgress
) -> None:
    """Its sequences are lower than those that the index has, and mean something else."""
    progress.applied(_publish(bus))
    progress.confirmed(0)
    bus.lose_all_data()
    with pytest.raises(Unavailable):
        progress.confirmed(0)
    progress.reset()
    progress.confirmed(0)


def test_within_the_window_nobody_is_asked(bus: MemoryBus, progress: StreamProgress) -> None:
    """A read that may be a little old costs NATS nothing; another one asks."""
    progress.confirmed(0)
    bus.unavailable = True
    progress.confirmed(0, within=3600)
    with pytest.raises(Unavailable):
        progress.confirmed(0)
