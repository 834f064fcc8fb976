"""The parent's handle on the process of one rank: start it, exchange messages, kill it."""

from __future__ import annotations

import multiprocessing
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from functions.generate.engine import child
from functions.generate.engine.messages import EngineConfig, ProgressReply, RenderJob
from functions.generate.engine.parent.activity import Loss

# A killed process that holds gigabytes is gone within seconds.
EXIT_TIMEOUT_SECONDS: Final = 5.0
# For which a thread that waits for the exit keeps others from asking.
_JOIN_SECONDS: Final = 0.05


class RankLost(Exception):
    """A rank's process exited or timed out; the message is a sentence that says how."""

    def __init__(self, message: str, loss: Loss = Loss.EXITED) -> None:
        super().__init__(message)
        self.loss: Final = loss


class RankProcess:
    """A started process, rank `rank` of a group that meets in `rendezvous`.

    File descriptors are never closed explicitly: another thread may still be waiting on one, and
    its number could be reused.
    """

    def __init__(self, config: EngineConfig, rank: int, rendezvous: Path) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=child.main,
            args=(theirs, config, rank, rendezvous),
            name=f"engine-{rank}",
            daemon=True,
        )
        self._asking = threading.Lock()
        self._process.start()
        theirs.close()  # while it is open here, the child's exit would not close the connection

    @property
    def pid(self) -> int | None:
        """The process id."""
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the process exits."""
        return self._process.sentinel

    @property
    def wait_objects(self) -> list[Connection | int]:
        """What becomes readable on a message or when the process exits."""
        return [self.connection, self._process.sentinel]

    def send_message(self, message: RenderJob | ProgressReply) -> None:
        """Send a message.

        Raises:
            RankLost: the process has exited.
        """
        try:
            self.connection.send(message)
        except OSError as error:
            raise RankLost(self.exit_description()) from error

    def receive_message(self) -> Any:
        """The next message; call it once `wait_objects` are ready.

        Raises:
            RankLost: there is no message, because the process has exited.
        """
        try:
            if self.connection.poll():
                return self.connection.recv()
        except (EOFError, OSError) as error:
            raise RankLost(self.exit_description()) from error
        raise RankLost(self.exit_description())

    def exit_description(self) -> str:
        """How the process exited, as a sentence; waits for an exit that is about to happen."""
        # The connection closes a moment before the process exits.
        deadline = time.monotonic() + EXIT_TIMEOUT_SECONDS
        while (code := self._exit_code()) is None and time.monotonic() < deadline:
            pass
        if code is None or code >= 0:
            return f"An engine process ended with exit code {code}."
        return f"An engine process was killed by signal {-code}."

    def kill(self) -> None:
        """Kill the process, which may be stopped or hung and has nothing to save."""
        self._process.kill()

    def join(self) -> None:
        """Wait until the process has exited."""
        while self._exit_code() is None:
            pass

    def _exit_code(self) -> int | None:
        """None if it does not exit within moments."""
        # Of two threads that ask multiprocessing at once, only one would get the right code.
        with self._asking:
            self._process.join(_JOIN_SECONDS)
            return self._process.exitcode
