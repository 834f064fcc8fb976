"""The parent's end of the child process: start it, talk to it, end it."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from functions.generate.engine import child
from functions.generate.engine.messages import Order, Verdict

# A killed process that holds gigabytes is gone within seconds.
OBITUARY_SECONDS: Final = 5.0


class ChildGone(Exception):
    """The child has ended, or counts as hung; the message is a sentence that says how."""


class SpawnedChild:
    """A started child process and the connection to it.

    Nothing is closed by hand: one thread may still wait on what another has given up, and a closed
    descriptor's number may be in use again.
    """

    def __init__(self, model: str) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=child.main, args=(theirs, model), name="engine", daemon=True
        )
        self._process.start()
        theirs.close()  # or the child's end would not end the connection

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """Becomes readable when the child ends."""
        return self._process.sentinel

    @property
    def news(self) -> list[Connection | int]:
        """What becomes readable when there is a message, or when the child ends."""
        return [self._connection, self._process.sentinel]

    def send(self, message: Order | Verdict) -> None:
        """Send a message.

        Raises:
            ChildGone: the child has ended.
        """
        try:
            self._connection.send(message)
        except OSError as error:
            raise ChildGone(self.obituary()) from error

    def receive(self, *, timeout: float | None = None) -> Any:
        """The child's next message.

        Raises:
            ChildGone: the child has ended, or said nothing for `timeout` seconds.
        """
        ready = wait(self.news, timeout)
        if not ready:
            raise ChildGone(
                f"The engine made no progress for {timeout:g} seconds and was restarted."
            )
        if self._connection not in ready:
            raise ChildGone(self.obituary())
        try:
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise ChildGone(self.obituary()) from error

    def obituary(self) -> str:
        """How the child, which must be about to end, has ended."""
        # Its connection closes a moment before it has ended; and where two threads wait for it at
        # once, multiprocessing tells only one of them how it went, and the other a moment later.
        deadline = time.monotonic() + OBITUARY_SECONDS
        while (code := self._process.exitcode) is None and time.monotonic() < deadline:
            self._process.join(0.05)
        if code is None or code >= 0:
            return f"The engine's process ended with exit code {code}."
        return f"The engine's process was ended by signal {-code}."

    def end(self) -> None:
        """Kill the child: it has nothing to save, and may be stopped or hung."""
        self._process.kill()

    def join(self) -> None:
        """Wait until the child has ended."""
        self._process.join()
