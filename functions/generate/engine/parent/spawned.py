"""The parent's end of one process of the engine: start it, talk to it, end it."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from functions.generate.engine import child
from functions.generate.engine.messages import Order, Plan, Verdict

# A killed process that holds gigabytes is gone within seconds.
OBITUARY_SECONDS: Final = 5.0


class ChildGone(Exception):
    """A child has ended, or counts as hung; the message is a sentence that says how."""


class SpawnedChild:
    """A started child process, number `rank` of a group that meets in `folder`.

    Nothing is closed by hand: one thread may still wait on what another has given up, and a closed
    descriptor's number may be in use again.
    """

    def __init__(self, plan: Plan, rank: int, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=child.main, args=(theirs, plan, rank, folder), name=f"engine-{rank}", daemon=True
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
        return [self.connection, self._process.sentinel]

    def send(self, message: Order | Verdict) -> None:
        """Send a message.

        Raises:
            ChildGone: the child has ended.
        """
        try:
            self.connection.send(message)
        except OSError as error:
            raise ChildGone(self.obituary()) from error

    def read(self) -> Any:
        """The child's next message, which is there, or else the child is gone.

        Raises:
            ChildGone: the child has ended.
        """
        try:
            if self.connection.poll():
                return self.connection.recv()
        except (EOFError, OSError) as error:
            raise ChildGone(self.obituary()) from error
        raise ChildGone(self.obituary())

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
