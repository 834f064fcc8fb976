"""Openings of event streams and downloads take turns."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from functions.status.openings import Openings
from tests.patience import scaled, wait_until

CALLERS = 20


def test_few_openings_run_at_a_time() -> None:
    """However many callers have a thread; each has its turn."""
    openings = Openings(2, wait_seconds=scaled(60))
    running, most, lock = 0, 0, threading.Lock()
    all_wait = threading.Barrier(CALLERS)

    def open_something() -> None:
        nonlocal running, most
        all_wait.wait(scaled(30))
        with openings.turn():
            with lock:
                running += 1
                most = max(most, running)
            # Python lets others run here, as where an opening waits for an answer.
            threading.Event().wait(0.001)
            with lock:
                running -= 1

    with ThreadPoolExecutor(CALLERS) as pool:
        for call in [pool.submit(open_something) for _ in range(CALLERS)]:
            call.result()
    assert most <= 2


def test_openings_that_wait_for_a_silent_server_hold_no_other_up() -> None:
    """None of them ends, and yet all begin."""
    openings = Openings(2, wait_seconds=0.001)
    begun, answered = threading.Semaphore(0), threading.Event()

    def wait_for_an_answer() -> None:
        with openings.turn():
            begun.release()
            answered.wait(scaled(60))

    with ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(wait_for_an_answer) for _ in range(CALLERS)]
        try:
            for _ in range(CALLERS):
                assert begun.acquire(timeout=scaled(30))
        finally:
            answered.set()
        wait_until(lambda: all(call.done() for call in calls), seconds=30, what="all end")
