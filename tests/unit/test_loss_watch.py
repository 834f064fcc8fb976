"""A loss is suspected at the first question after it, so that reads don't show what is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.shared.streams.bus import StreamEnd
from functions.shared.timestamps import DAY_SECONDS, NANOSECONDS
from functions.status.loss_watch import REMOVALS_OF_DELETION, LossWatch

NOW = 100 * DAY_SECONDS * NANOSECONDS
END = StreamEnd("created", 100, NOW, 50, NOW - NANOSECONDS)
# The age of a connection that was never interrupted.
STABLE = 1e9


@pytest.fixture
def watch() -> LossWatch:
    """A watch that has seen the stream with 50 messages."""
    watch = LossWatch(kept_seconds=DAY_SECONDS)
    watch.look(END, STABLE)
    assert not watch.suspected
    return watch


def test_fewer_messages_are_suspicious_until_they_were_compared(watch: LossWatch) -> None:
    """A purge leaves the stream's last sequence as it is."""
    watch.look(replace(END, messages=49), STABLE)
    watch.look(replace(END, messages=49), STABLE)
    assert watch.suspected
    watch.dismiss(watch.suspicions)
    watch.look(replace(END, messages=49), STABLE)
    assert not watch.suspected


def test_a_suspicion_during_a_comparison_outlasts_it(watch: LossWatch) -> None:
    """It may be of what was lost after the comparison had begun."""
    watch.look(replace(END, messages=49), STABLE)
    before = watch.suspicions
    watch.look(replace(END, messages=48), STABLE)
    watch.dismiss(before)
    assert watch.suspected


def test_a_deletion_explains_what_it_removes_and_no_more(watch: LossWatch) -> None:
    """Its tombstone comes first, and takes the place of one of the messages."""
    watch.deletion_seen()
    watch.look(replace(END, messages=50 - REMOVALS_OF_DELETION), STABLE)
    assert not watch.suspected
    watch.look(replace(END, messages=49 - REMOVALS_OF_DELETION), STABLE)
    assert watch.suspected


def test_messages_that_expire_are_not_lost(watch: LossWatch) -> None:
    """The oldest ones are as old as the stream keeps them."""
    watch.look(replace(END, oldest=NOW - 2 * DAY_SECONDS * NANOSECONDS), STABLE)
    watch.look(replace(END, messages=40), STABLE)
    assert not watch.suspected


def test_an_interruption_is_suspicious(watch: LossWatch) -> None:
    """A server may have lost what a damaged file had when it comes back."""
    watch.look(END, 0.0)
    assert watch.suspected
