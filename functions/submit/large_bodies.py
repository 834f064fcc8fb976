"""Lets large bodies be parsed without holding up everybody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from functions.shared.api.thread_share import ThreadShare

# Eight times a usual request, and still parsed within a millisecond.
SMALL_BYTES: Final = 8 << 10


class LargeBodies:
    """One large body is parsed at a time, for at most half of the time.

    Python's parser lets no other thread run until it is done, which takes up to 50 ms for the
    largest bodies. With several threads at it, each step of any other request would wait for all of
    them. Safe to use from any thread.
    """

    def __init__(self, share: ThreadShare) -> None:
        """Let as many large bodies wait, each with its thread, as `share` has room for."""
        self._share = share
        self._lock = threading.Lock()
        self._next = 0.0

    @contextmanager
    def turn(self, size: int) -> Iterator[None]:
        """Wait until a body of `size` bytes may be parsed; a small one needs no turn.

        Raises:
            Unavailable: too many large bodies wait already.
        """
        if size <= SMALL_BYTES:
            yield
            return
        self._share.enter()
        try:
            with self._lock:
                time.sleep(max(0.0, self._next - time.monotonic()))
                begun = time.thread_time()
                try:
                    yield
                finally:
                    self._next = time.monotonic() + time.thread_time() - begun
        finally:
            self._share.leave()
