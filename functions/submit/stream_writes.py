"""Whether NATS stores what `submit` publishes, so that not every caller waits to find that out."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from functions.shared.errors import NotStored, OutcomeUnknown, Unavailable

# A publish that takes longer gives reason to ask whether anything is stored. On a busy machine many
# do, so the answer counts, not the time.
PATIENCE_SECONDS: Final = 0.25
# Between two questions, of which each is an entry in the log of a clustered NATS.
ASK_SECONDS: Final = 1.0


class StreamWrites:
    """Learns from publishes that are not confirmed, and asks NATS about them, on its own thread.

    While NATS has stopped storing messages, callers are told at once. It goes on asking, so no
    caller is needed to find out that it stores again. Any other trouble, such as an election, is
    left to the publisher's retries. Safe to use from any thread.

    Attributes:
        stopped: set while NATS has stopped storing messages: a reason to give a publish up.
    """

    def __init__(
        self,
        check: Callable[[], None],
        *,
        patience: float = PATIENCE_SECONDS,
        every: float = ASK_SECONDS,
    ) -> None:
        """Ask with `check`, which raises `NotStored` once NATS has stopped storing messages."""
        self._check = check
        self._patience = patience
        self._every = every
        self._lock = threading.Lock()
        # When each publish in progress was sent.
        self._sent: dict[object, float] = {}
        self._in_progress = threading.Event()
        # Whether the outcome of one is unknown.
        self._in_doubt = False
        # Set while NATS has stopped storing messages; `_message` says why.
        self.stopped = threading.Event()
        self._message = ""
        self._thread: threading.Thread | None = None

    def check(self) -> None:
        """Return if there is hope that NATS stores what is published.

        Raises:
            NotStored: it has stopped storing messages.
        """
        if self.stopped.is_set():
            raise NotStored(self._message)

    @contextlib.contextmanager
    def publishing(self) -> Iterator[None]:
        """Learn from a publish, which is made in the block."""
        publish = object()
        with self._lock:
            self._sent[publish] = time.monotonic()
            # Here, because a server may fork its workers after it has created the app.
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="writes", daemon=True)
                self._thread.start()
        self._in_progress.set()
        try:
            yield
        except OutcomeUnknown:
            self._in_doubt = True
            raise
        finally:
            with self._lock:
                del self._sent[publish]

    def _run(self) -> None:
        while True:
            self._in_progress.wait()
            time.sleep(self._patience)
            with self._lock:
                if not self._sent:
                    self._in_progress.clear()
                oldest = min(self._sent.values(), default=time.monotonic())
            if not self._in_doubt and time.monotonic() - oldest < self._patience:
                continue
            self._in_doubt = False
            self._ask()
            while self.stopped.is_set():
                time.sleep(self._every)
                self._ask()
            time.sleep(self._every)

    def _ask(self) -> None:
        try:
            self._check()
        except NotStored as problem:
            self._message = problem.message
            self.stopped.set()
        except Unavailable:
            self.stopped.clear()
        else:
            self.stopped.clear()
