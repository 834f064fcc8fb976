"""Notices at once when clients of event streams hang up."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable


class HangUps:
    """Watches connections on one thread, which starts with the first of them.

    Safe to use from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._poll: select.epoll | None = None

    def watch(self, fileno: int, callback: Callable[[], None]) -> None:
        """Call `callback` once the other end of a TCP connection has closed it, or its half.

        It is called at most once, soon after this call if that has happened before, and must not
        block.
        """
        with self._lock:
            self._callbacks[fileno] = callback
            if self._poll is None:
                self._poll = select.epoll()
                threading.Thread(target=self._run, args=(self._poll,), daemon=True).start()
            self._poll.register(fileno, select.EPOLLRDHUP | select.EPOLLONESHOT)

    def forget(self, fileno: int) -> None:
        """Stop watching. Call this before the descriptor is closed; it may be called twice."""
        with self._lock:
            if self._callbacks.pop(fileno, None) is not None and self._poll is not None:
                self._poll.unregister(fileno)

    def _run(self, poll: select.epoll) -> None:
        while True:
            for fileno, _ in poll.poll():
                with self._lock:
                    # Forgotten meanwhile, and perhaps another connection's: see `forget`.
                    callback = self._callbacks.get(fileno)
                if callback is not None:
                    callback()
