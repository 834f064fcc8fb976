"""Requests learn from each other that NATS does not answer."""

from __future__ import annotations

import pytest

from functions.shared.streams.silence import TRY_SECONDS, Silence


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as its only item."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_while_nats_is_silent_one_request_in_a_while_is_sent(clock: list[float]) -> None:
    """The others fail at once, until one is answered."""
    nats = Silence()
    first = nats.begin()
    assert first is not None
    clock[0] += 2
    nats.unanswered(first)
    assert nats.begin() is not None
    assert nats.begin() is None
    clock[0] += TRY_SECONDS
    assert nats.begin() is not None
    assert nats.begin() is None
    nats.answered()
    assert nats.begin() is not None
    assert nats.begin() is not None


def test_an_answer_to_another_request_shows_that_nats_is_there(clock: list[float]) -> None:
    """A stream without a leader is silent alone."""
    nats = Silence()
    sent = nats.begin()
    assert sent is not None
    clock[0] += 1
    nats.answered()
    clock[0] += 1
    nats.unanswered(sent)
    assert nats.begin() is not None
    assert nats.begin() is not None
