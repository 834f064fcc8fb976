"""One call on behalf of everyone who wants its result at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedCall(Generic[T]):
    """Shares a call among threads, each of which gets a result that is newer than its question.

    Whoever asks while a call is running waits for the next one, and shares that with all others who
    wait: however many ask, one call runs at a time.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        """Share `call`."""
        self._call = call
        self._lock = threading.Lock()
        self._one_at_a_time = threading.Lock()
        self._next: Future[T] | None = None

    def result(self) -> T:
        """The result of a call that began after this one, or the exception that it raised."""
        with self._lock:
            shared = self._next
            leads = shared is None
            if shared is None:
                shared = self._next = Future()
        if leads:
            with self._one_at_a_time:
                with self._lock:
                    self._next = None
                self._run(shared)
        return shared.result()

    def _run(self, shared: Future[T]) -> None:
        try:
            shared.set_result(self._call())
        except BaseException as problem:  # noqa: BLE001 - those who share the call would wait for ever
            shared.set_exception(problem)
