"""Whose video is next, and what that adds up to."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.shared.subjects import VideoKey
from functions.shared.video.fair_queue import FairQueue
from functions.shared.video.fairness import RANKS, RETURNED, Limits, Slot, Waiting

SECONDS = 60.0


class Queue:
    """A queue in which each account's videos have names of their own."""

    def __init__(self, limits: dict[str, Limits] | None = None) -> None:
        """Start empty; an account without limits has equal parts."""
        self.seconds: dict[VideoKey, float] = {}
        self.queue = FairQueue(
            lambda key: self.seconds.get(key, SECONDS),
            lambda name: (limits or {}).get(name, Limits()),
        )
        self.seq = 0

    def add(self, account: str, count: int = 1, *, rank: int = RANKS["normal"]) -> list[VideoKey]:
        """Request videos of an account."""
        keys = []
        for _ in range(count):
            self.seq += 1
            key = VideoKey(account, f"v{self.seq}")
            self.queue.add(Waiting(rank, self.seq, key))
            keys.append(key)
        return keys

    def start(self) -> VideoKey | None:
        """Give the next turn."""
        chosen = self.queue.next()
        if chosen is None:
            return None
        self.queue.give_turn(chosen.key)
        return chosen.key

    def run(self, count: int) -> str:
        """The accounts of the next videos, one at a time, each as long as expected."""
        names = ""
        for _ in range(count):
            key = self.start()
            assert key is not None
            names += key.account
            self.queue.end(key, self.seconds.get(key, SECONDS))
        return names


def test_one_accounts_hundred_videos_do_not_hold_up_anothers_first() -> None:
    """It is next, and then both take turns."""
    queue = Queue()
    queue.add("a", 100)
    assert queue.run(3) == "aaa"
    queue.add("b", 3)
    assert queue.run(1) == "b"
    assert sorted(queue.run(4)) == ["a", "a", "b", "b"]


def test_an_account_with_three_times_the_weight_gets_three_times_the_videos() -> None:
    """In the long run, and within any few turns."""
    queue = Queue({"a": Limits(weight=3)})
    queue.add("a", 100)
    queue.add("b", 100)
    names = queue.run(80)
    assert Counter(names) == {"a": 60, "b": 20}
    for place in range(0, 80, 8):
        assert 5 <= names[place : place + 8].count("a") <= 7


def test_long_videos_count_for_more() -> None:
    """What is shared is time, and not the number of videos."""
    queue = Queue()
    queue.seconds |= dict.fromkeys(queue.add("a", 30), 4 * SECONDS)
    queue.add("b", 100)
    assert Counter(queue.run(50)) == {"a": 10, "b": 40}


def test_what_a_video_really_took_counts_once_it_has_ended() -> None:
    """An estimate that was too low does not stay a gain."""
    queue = Queue()
    queue.add("a", 10)
    queue.add("b", 10)
    first = queue.start()
    assert first is not None
    queue.queue.end(first, 5 * SECONDS)
    assert queue.run(5) == "bbbbb"


def test_an_estimate_that_was_too_high_holds_up_no_newcomer() -> None:
    """As that of the first videos, of which nothing is known."""
    queue = Queue()
    queue.add("a", 10)
    running = [queue.start(), queue.start()]
    queue.add("b", 1)
    for key in running:
        assert key is not None
        queue.queue.end(key, SECONDS / 20)
    queue.seconds |= dict.fromkeys((VideoKey("a", f"v{n}") for n in range(12)), SECONDS / 20)
    queue.queue.refresh()
    assert "b" in queue.run(2)


def test_pausing_saves_no_credit() -> None:
    """Whoever comes back is next, and then takes turns like everybody."""
    queue = Queue()
    queue.add("b", 1)
    queue.add("a", 100)
    assert queue.run(40).count("b") == 1
    queue.add("b", 20)
    assert queue.run(10).count("b") in {5, 6}


def test_pausing_loses_no_debt() -> None:
    """An account that has used more than its part waits, also after it had nothing to do."""
    queue = Queue()
    (long,) = queue.add("a", 1)
    queue.seconds[long] = 10 * SECONDS
    queue.add("b", 30)
    assert queue.run(3).count("a") == 1
    queue.add("a", 1)
    assert "a" not in queue.run(6)


def test_priorities_order_ones_own_videos_only() -> None:
    """High before normal before low, then by age; another account is not held up."""
    queue = Queue()
    low, normal, high = (
        queue.add("a", 1, rank=RANKS[name])[0] for name in ("low", "normal", "high")
    )
    (other,) = queue.add("b", 1, rank=RANKS["low"])
    order = [start.request.key for start in queue.queue.starts([Slot(0.0)])]
    assert [key for key in order if key.account == "a"] == [high, normal, low]
    assert order.index(other) == 1


def test_what_lost_its_turn_comes_before_everything_new() -> None:
    """It may be running, and it waited already."""
    queue = Queue()
    queue.add("a", 3)
    queue.run(1)
    queue.add("b", 3)
    (lost,) = queue.add("a", 1, rank=RETURNED)
    assert queue.start() == lost


def test_an_account_has_at_most_the_videos_running_that_it_may_have() -> None:
    """Others use what it leaves; it saves no credit by that."""
    queue = Queue({"a": Limits(max_running=1)})
    queue.add("a", 10)
    started = [queue.start(), queue.start()]
    assert [key and key.account for key in started] == ["a", None]
    queue.add("b", 10)
    assert [(queue.start() or VideoKey("x", "x")).account for _ in range(3)] == ["b", "b", "b"]
    assert started[0] is not None
    queue.queue.end(started[0], SECONDS)
    again = queue.start()
    assert again is not None
    assert again.account == "a"


def test_a_new_account_is_compared_with_those_that_compete() -> None:
    """And not with one that is held back by its own limit, whose virtual time stands still."""
    queue = Queue({"c": Limits(max_running=1)})
    (held,) = queue.add("c", 1)
    queue.add("c", 5)
    assert queue.start() == held
    queue.add("a", 100)
    queue.run(50)
    queue.add("d", 100)
    assert Counter(queue.run(10))["d"] in {5, 6}


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=40),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_the_forecast_is_what_happens(accounts: list[str], slots: int, limit: int) -> None:
    """The order that is told is the order of the turns, if nothing else comes."""
    queue = Queue({"a": Limits(weight=2, max_running=limit or None)})
    for name in accounts:
        queue.add(name)
    told = [start.request.key for start in queue.queue.starts([Slot(0.0)] * slots)]
    running: list[VideoKey] = []
    happened: list[VideoKey] = []
    while len(happened) < len(accounts):
        while len(running) < slots and (key := queue.start()) is not None:
            running.append(key)
            happened.append(key)
        queue.queue.end(running.pop(0), SECONDS)
    assert happened == told


@pytest.mark.parametrize("removed", [0, 1, 2])
def test_what_is_removed_is_not_chosen(removed: int) -> None:
    """Cancelled or deleted while it waited, whatever its place."""
    queue = Queue()
    keys = queue.add("a", 3)
    queue.queue.end(keys[removed], 0.0)
    assert [queue.start() for _ in range(3)] == [*(keys[:removed] + keys[removed + 1 :]), None]


def test_the_virtual_times_survive_a_restart() -> None:
    """A new process that takes them over goes on as the old one would have."""
    old = Queue()
    old.add("a", 10)
    old.add("b", 2)
    old.run(12)
    new = Queue()
    new.queue.set_times(old.queue.clock, old.queue.times)
    for queue in (old, new):
        queue.add("b", 9)
        queue.add("a", 9)
    assert new.run(12) == old.run(12)
