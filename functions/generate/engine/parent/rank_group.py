"""The parent's handle on all ranks of an engine, which start, fail, and exit together."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection, wait
from typing import Final

from functions.generate.engine.messages import (
    EngineConfig,
    LoadFailed,
    ModelLoaded,
    Progress,
    ProgressReply,
    RankFinished,
    Rendered,
    RenderFailed,
    RenderJob,
)
from functions.generate.engine.parent.activity import Loss
from functions.generate.engine.parent.rank_process import RankLost, RankProcess
from functions.generate.engine.parent.scratch import ScratchFolder

# Ranks finish a job at most one step apart. This bounds the wait when one of them failed where it
# could not notify the others, which are waiting for it.
PEER_TIMEOUT_SECONDS: Final = 10.0


class ModelLoadError(Exception):
    """A rank can't load the model; the message says why, in one line."""


class RankGroup:
    """The running processes of one engine. `peers` are all ranks but rank 0.

    If one rank exits or times out, the whole group is lost: `RankLost` is raised.
    """

    def __init__(self, config: EngineConfig) -> None:
        # The ranks meet through a file that only this user can read, not through a port.
        self._scratch = ScratchFolder()
        self.processes: list[RankProcess] = []
        try:
            for rank in range(config.ranks):
                self.processes.append(RankProcess(config, rank, self._scratch.path))
        except OSError:  # no memory or no process id for another process
            self.kill()
            self.join()
            raise
        self._rank0, *self._peers = self.processes
        self._busy_peers: list[RankProcess] = []
        # What rank 0 reported once it had loaded.
        self.started: ModelLoaded | None = None

    @property
    def sentinels(self) -> list[int]:
        """Descriptors, each of which becomes readable when its process exits."""
        return [process.sentinel for process in self.processes]

    def wait_until_loaded(self, interrupt: Connection, timeout: float) -> bool:
        """Wait for all ranks to load; return False if `interrupt` becomes readable first.

        Raises:
            ModelLoadError: a rank can't load the model.
            RankLost: a process exited, or was not ready after `timeout` seconds.
        """
        loading, deadline = list(self.processes), time.monotonic() + timeout
        while loading:
            wait_objects = [one for process in loading for one in process.wait_objects]
            ready = wait([interrupt, *wait_objects], max(0.0, deadline - time.monotonic()))
            if interrupt in ready:
                return False
            if not ready:
                raise RankLost(
                    f"The engine was not ready after {timeout:g} seconds.", Loss.LOAD_TIMEOUT
                )
            for process in [one for one in loading if set(one.wait_objects) & set(ready)]:
                message = process.receive_message()
                if isinstance(message, LoadFailed):
                    raise ModelLoadError(message.reason)
                if process is self._rank0:
                    self.started = message
                loading.remove(process)
        return True

    def send_job(self, job: RenderJob) -> None:
        """Start `job` on all ranks.

        Raises:
            RankLost: a process has exited.
        """
        self._busy_peers = list(self._peers)
        for process in self.processes:
            process.send_message(job)

    def reply_to_progress(self, reply: ProgressReply) -> None:
        """Reply to rank 0's last `Progress`.

        Raises:
            RankLost: its process has exited.
        """
        self._rank0.send_message(reply)

    def next_message(self, *, timeout: float) -> Progress | Rendered | RenderFailed:
        """Rank 0's next message. Its last message of a job is held back until all peers are done.

        Raises:
            RankLost: a process exited, or rank 0 sent nothing for `timeout` seconds.
        """
        message = self._next_message_of_rank0(timeout)
        if isinstance(message, Progress):
            return message
        deadline = time.monotonic() + PEER_TIMEOUT_SECONDS
        while self._busy_peers:
            # When a rank is killed, others fail as a result; only the killed rank's exit counts.
            self._handle_peers(self._wait([], deadline, PEER_TIMEOUT_SECONDS))
        return message

    def exit_description(self) -> str:
        """How the group exited, as a sentence; a process must have exited or be about to."""
        exited = [process for process in self.processes if wait([process.sentinel], 0)]
        return (exited or self.processes)[0].exit_description()

    def kill(self) -> None:
        """Kill all processes."""
        for process in self.processes:
            process.kill()

    def join(self) -> None:
        """Wait until all processes have exited, and remove their temporary folder."""
        for process in self.processes:
            process.join()
        self._scratch.remove()

    def _next_message_of_rank0(self, timeout: float) -> Progress | Rendered | RenderFailed:
        seconds, deadline = timeout, time.monotonic() + timeout
        while True:
            ready = self._wait(self._rank0.wait_objects, deadline, seconds)
            peer_failed = self._handle_peers(ready)
            if peer_failed and deadline - time.monotonic() > PEER_TIMEOUT_SECONDS:
                seconds = PEER_TIMEOUT_SECONDS
                deadline = time.monotonic() + PEER_TIMEOUT_SECONDS
            if set(self._rank0.wait_objects) & set(ready):
                message: Progress | Rendered | RenderFailed = self._rank0.receive_message()
                return message

    def _wait(
        self, wait_objects: list[Connection | int], deadline: float, seconds: float
    ) -> list[Connection | int]:
        """Wait for `wait_objects` and all peers; `seconds` is the timeout that errors name."""
        connections = [process.connection for process in self._busy_peers]
        sentinels = [process.sentinel for process in self._peers]
        ready = wait(
            [*wait_objects, *connections, *sentinels], max(0.0, deadline - time.monotonic())
        )
        if not ready:
            raise RankLost(
                f"The engine made no progress for {seconds:g} seconds and was restarted.",
                Loss.HUNG,
            )
        return [one for one in ready if isinstance(one, Connection | int)]

    def _handle_peers(self, ready: list[Connection | int]) -> bool:
        """Receive the messages of peers that are ready; return whether one of them failed.

        Raises:
            RankLost: a peer has exited.
        """
        failed = False
        for process in self._peers:
            if process.sentinel in ready:
                raise RankLost(process.exit_description())
            if process.connection in ready:
                message: RankFinished | RenderFailed = process.receive_message()
                self._busy_peers.remove(process)
                failed = failed or isinstance(message, RenderFailed)
        return failed
