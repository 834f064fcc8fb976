"""Uploads the previews of an attempt, without the attempt ever waiting for it."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
from collections.abc import Iterator
from typing import Final

from functions.shared.errors import KinoraError
from functions.shared.storage import Store
from functions.shared.video_objects import PREVIEW_FILE

log = logging.getLogger(__name__)


class PreviewUploads:
    """Stores the newest preview of an attempt, on a thread of its own.

    A preview is worth little, and soon there is a newer one: what the store does not take at once
    is dropped, and so is one that still waits when the next one comes.

    Attributes:
        stored: how many previews the store has taken; the newest one has this number.
    """

    def __init__(self, store: Store, prefix: str) -> None:
        """Store them in `store`, under `prefix`."""
        self.stored = 0
        self._store = store
        self._key: Final = prefix + PREVIEW_FILE
        self._changed = threading.Condition()
        self._waiting: bytes | None = None
        self._stopped = False
        self._tried = False
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Upload what is offered in this block; at its end, what still waits is dropped."""
        # Not started by an offer: a draining process renders its last video while the interpreter
        # shuts down, and then starts no more threads.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._upload_all,), name="previews")
        self._thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify()

    def offer(self, jpeg: bytes) -> None:
        """Upload `jpeg` soon, or not at all; returns at once, and never raises."""
        with self._changed:
            self._waiting = jpeg
            self._changed.notify()

    def wait(self) -> None:
        """After `running`: return once nothing is uploaded any more, within some 5 s."""
        if self._thread is not None:
            self._thread.join()

    def delete(self) -> None:
        """After `running`: delete what was stored; what can't be is left to the sweeper."""
        self.wait()
        if not self._tried:
            return
        try:
            self._store.delete([self._key])
        except KinoraError as problem:
            log.warning("%s was not deleted: %s", self._key, problem.message)

    def _upload_all(self) -> None:
        while (jpeg := self._next()) is not None:
            self._tried = True
            try:
                self._store.try_put(self._key, jpeg, "image/jpeg")
            except KinoraError as problem:
                log.info("a preview was dropped: %s", problem.message)
            except Exception:
                log.exception("a preview was dropped")
            else:
                self.stored += 1

    def _next(self) -> bytes | None:
        """Wait for the next preview; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._waiting is not None)
            jpeg, self._waiting = self._waiting, None
            return None if self._stopped else jpeg
