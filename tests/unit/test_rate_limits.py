"""Requests a second, by account."""

from __future__ import annotations

import pytest

from functions.shared.api import rate_limits
from functions.shared.api.rate_limits import BURST_SECONDS, RateLimits


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    """A clock that the test sets."""
    made = _Clock()
    monkeypatch.setattr(rate_limits, "time", made)
    return made


def test_an_account_that_was_idle_may_send_a_burst(clock: _Clock) -> None:
    """Of two seconds' requests; then one for each that the time allows."""
    limits = RateLimits()
    burst = int(8 * BURST_SECONDS)
    assert [limits.take("acme", 8) for _ in range(burst)] == [0] * burst
    assert limits.take("acme", 8) == pytest.approx(0.125)
    clock.now += 0.125
    assert limits.take("acme", 8) == 0
    assert limits.take("acme", 8) > 0
    clock.now += 3600
    assert [limits.take("acme", 8) for _ in range(burst)] == [0] * burst
    assert limits.take("acme", 8) > 0


def test_accounts_are_counted_apart(clock: _Clock) -> None:
    """One that sends too much costs another nothing."""
    assert clock.now
    limits = RateLimits()
    assert limits.take("acme", 0.5) == 0
    assert limits.take("acme", 0.5) == pytest.approx(2)
    assert limits.take("other", 0.5) == 0


def test_a_changed_rate_applies_at_once(clock: _Clock) -> None:
    """The file of accounts may change it at any time."""
    limits = RateLimits()
    assert limits.take("acme", 1000) == 0
    assert [limits.take("acme", 1) > 0 for _ in range(3)] == [False, False, True]
    clock.now += 1
    assert limits.take("acme", 8) == 0
