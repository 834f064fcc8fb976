"""Withdrawing requests whose caller was told that they failed."""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextvars import Context, copy_context
from typing import Final

from functions.shared.streams.bus import Bus
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import VideoState
from functions.shared.subjects import REQUESTS, VideoKey
from functions.shared.timestamps import format_rfc3339
from functions.submit.deletion import publish_tombstone

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0


class UnconfirmedRequests:
    """Withdraws, in the background, requests that NATS may or may not have stored.

    The tombstone comes first: with it, a request that is stored later never runs.
    """

    def __init__(self, bus: Bus, ledger: Ledger) -> None:
        """Start the thread with the first request to withdraw."""
        self._bus = bus
        self._ledger = ledger
        # With the context of the HTTP request, for which the request is withdrawn.
        self._pending: queue.Queue[tuple[VideoKey, Context]] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def withdraw(self, key: VideoKey) -> None:
        """Delete the request as soon as NATS answers again; returns at once."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="withdrawals", daemon=True)
                self._thread.start()
        self._pending.put((key, copy_context()))

    def drain(self, seconds: float) -> None:
        """Withdraw what is pending, for at most `seconds`: the queue is lost with the process."""
        end = time.monotonic() + seconds
        with self._pending.all_tasks_done:
            while self._pending.unfinished_tasks and time.monotonic() < end:
                self._pending.all_tasks_done.wait(end - time.monotonic())

    def _run(self) -> None:
        while True:
            key, context = self._pending.get()
            try:
                context.run(self._delete, key)
            except Exception:
                log.exception("could not withdraw request %s; retrying", key.video_id)
                time.sleep(RETRY_SECONDS)
                self._pending.put((key, context))
            self._pending.task_done()

    def _delete(self, key: VideoKey) -> None:
        publish_tombstone(self._ledger, VideoState(key), created_at=self._now)
        self._bus.purge(REQUESTS, key.request_subject)

    def _now(self, _: VideoState) -> str:
        return format_rfc3339(self._bus.now())
