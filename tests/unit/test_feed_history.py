"""Stored messages of a feed: read and rendered in turns."""

from __future__ import annotations

import json
import threading

import pytest

from functions.shared.errors import Unavailable
from functions.shared.subjects import VideoKey
from functions.status.feeds.blocks import KEEP_ALIVE
from functions.status.feeds.history import TEXT_BYTES, History
from functions.status.feeds.position import FeedPosition
from tests.fakes import MemoryBus
from tests.unit.events import put_request

START = FeedPosition(0, 0)
END = FeedPosition(100, 0)


@pytest.fixture
def turns() -> threading.Semaphore:
    """One client's turn at a time."""
    return threading.Semaphore(1)


@pytest.fixture
def history(bus: MemoryBus, turns: threading.Semaphore) -> History:
    """A hundred requests of 4 kB."""
    for n in range(100):
        put_request(bus, VideoKey("acme", f"v{n}"), prompt="x" * 4000)
    return History(bus, "acme", None, turns=turns, turn_seconds=0.01)


def _subjects(text: bytes) -> list[str]:
    lines = text.decode().splitlines()
    return [json.loads(line[6:])["subject"] for line in lines if line.startswith("data: ")]


def test_a_client_waits_for_its_turn_with_keep_alives(
    history: History, turns: threading.Semaphore
) -> None:
    """However many clients replay, few of them use the processor at a time."""
    turns.acquire()
    pieces = history.read(START, END)
    assert [next(pieces), next(pieces)] == [(START, KEEP_ALIVE)] * 2
    turns.release()
    position, text = next(pieces)
    assert _subjects(text) == [f"v{n}" for n in range(position.requests)]


def test_nobody_waits_while_a_client_reads(history: History, turns: threading.Semaphore) -> None:
    """A turn ends before anything is sent, so a slow client holds none."""
    for position, text in history.read(START, END):
        assert turns.acquire(blocking=False), position
        turns.release()
        assert len(text) < 2 * TEXT_BYTES


def test_what_follows_a_position_is_told_once_after_an_outage(
    history: History, bus: MemoryBus
) -> None:
    """Nothing that was read when the outage began is lost."""
    pieces = history.read(START, END)
    received = [next(pieces)]
    bus.unavailable = True
    with pytest.raises(Unavailable):
        received.extend(pieces)
    bus.unavailable = False
    received.extend(history.read(received[-1][0], END))
    assert [s for _, text in received for s in _subjects(text)] == [f"v{n}" for n in range(100)]


def test_messages_end_at_the_position(history: History) -> None:
    """Later ones are in the tail."""
    told = [s for _, text in history.read(FeedPosition(10, 0), FeedPosition(12, 0))
            for s in _subjects(text)]  # fmt: skip
    assert told == ["v10", "v11"]
