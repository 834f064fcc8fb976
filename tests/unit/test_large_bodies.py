"""Large bodies take turns, so that everything else finds time in between."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from functions.shared.api.thread_share import ThreadShare
from functions.shared.errors import Unavailable
from functions.submit.large_bodies import SMALL_BYTES, LargeBodies
from tests.patience import scaled

LARGE = SMALL_BYTES + 1


def _parse_for(seconds: float, bodies: LargeBodies) -> None:
    with bodies.turn(LARGE):
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
        raise ValueError("bad")


def test_one_large_body_is_parsed_at_a_time() -> None:
    """Small ones need no turn."""
    bodies, inside = LargeBodies(ThreadShare(4, "bodies")), threading.Event()

    def parse() -> None:
        with bodies.turn(LARGE):
            inside.set()

    with ThreadPoolExecutor(1) as pool:
        with bodies.turn(LARGE):
            second = pool.submit(parse)
            with bodies.turn(SMALL_BYTES):
                assert not inside.wait(0.1)
        second.result(scaled(10))
    assert inside.is_set()


def test_large_bodies_leave_half_of_the_time_to_others() -> None:
    """The next turn begins no sooner than the last one took after its end, also after an error."""
    bodies = LargeBodies(ThreadShare(4, "bodies"))
    with pytest.raises(ValueError, match="bad"):
        _parse_for(0.2, bodies)
    ended = time.monotonic()
    with bodies.turn(LARGE):
        assert time.monotonic() - ended > 0.19


def test_large_bodies_beyond_the_share_are_refused() -> None:
    """Each that waits holds a thread. Whoever is refused is told when to try again."""
    bodies = LargeBodies(ThreadShare(1, "large bodies"))
    with bodies.turn(LARGE):
        with pytest.raises(Unavailable, match="large bodies") as refused, bodies.turn(LARGE):
            pass
        assert refused.value.retry_after
    with bodies.turn(LARGE):
        pass
