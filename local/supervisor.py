"""Starts a stack, reports when it is ready, and stops all of it, whatever ends the supervisor.

This is not honcho, which was the first choice: honcho sends SIGTERM to all processes at once and
SIGKILL to what is left after five seconds, so that the functions lose NATS and the object store
while they drain; it has no readiness probes; and its children outlive it when it is killed.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine, Iterable

from local.children import Child, ProcessGroup
from local.full_disk import WRITE_ERROR, wait_for_room
from local.load import describe_overload
from local.probes import is_ready
from local.processes import Command, Process
from local.stack import Stack

_POLL_SECONDS = 0.1  # between probes of a process that is not ready yet
# gunicorn cuts off in-flight requests after GRACEFUL_TIMEOUT or DRAIN_SECONDS, 3 s. A video that is
# cut off is retried at the next start.
_FUNCTION_GRACE_SECONDS = 5.0
_SERVER_GRACE_SECONDS = 15.0  # to flush; weed needs 2-3 s


class _StopAsked(Exception):
    """A signal asked the stack to stop."""


class _StackFailedError(Exception):
    """The stack can't continue; the message says why."""


class Supervisor:
    """Runs the processes of one stack until a signal or a failure ends it.

    Args:
        stack: the settings.
        table: what to run.
        set_up: a command to run to completion once the servers are ready.
        lock: a file descriptor that stays open until the last process has exited.
    """

    def __init__(self, stack: Stack, table: Iterable[Process], set_up: Command, lock: int) -> None:
        self._stack = stack
        self._table = list(table)
        self._set_up = set_up
        self._group = ProcessGroup(keep=[lock])
        self._children: dict[str, Child] = {}
        self._waiting_for: set[str] = set()
        self._stop_asked = asyncio.Event()

    async def run(self) -> int:
        """Run until SIGINT, SIGTERM or SIGHUP (returns 0) or a failure (prints it, returns 1)."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        status = 0
        try:
            await self._start_all()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._raise_when_stop_asked())
                tasks.create_task(self._announce_when_ready())
                for process in self._table:
                    keep = self._keep_storing if process.name == "nats" else self._keep
                    tasks.create_task(keep(process))
        except* _StopAsked:
            print("Stopping; Ctrl-C again kills.", flush=True)
        except* _StackFailedError as failures:
            print(f"kinora: {failures.exceptions[0]}", file=sys.stderr, flush=True)
            status = 1
        finally:
            await self._stop({"function", "proxy"}, _FUNCTION_GRACE_SECONDS)
            await self._stop({"server"}, _SERVER_GRACE_SECONDS)
            self._group.kill()
        return status

    def _on_signal(self) -> None:
        if self._stop_asked.is_set():
            self._group.kill()
        self._stop_asked.set()

    async def _raise_when_stop_asked(self) -> None:
        await self._stop_asked.wait()
        raise _StopAsked

    async def _start_all(self) -> None:
        for process in self._table:
            self._children[process.name] = await self._start(process)

    async def _start(self, command: Command) -> Child:
        try:
            return await Child.start(command, self._stack.log_of(command.name), self._group.id)
        except OSError as error:
            raise _StackFailedError(f"{command.name} can't be started: {error}") from error

    async def _announce_when_ready(self) -> None:
        try:
            async with asyncio.timeout(self._stack.ready_seconds):
                await self._wait_ready({"server"})
                await self._run_set_up()
                await self._wait_ready({"function", "proxy"})
        except TimeoutError as error:
            raise _StackFailedError(self._describe_delay()) from error
        for process in self._of_role({"function"}):
            # Only from now on: while servers start, functions warn that they are unavailable.
            self._children[process.name].shows_warnings = True
        print(f"Kinora is ready: {self._stack.url}", flush=True)
        print(f"Ctrl-C stops it; its data stays in {self._stack.data}", flush=True)

    def _describe_delay(self) -> str:
        seconds = self._stack.ready_seconds
        late = {
            process.name: f"did not answer on port {process.probe.port}"
            for process in self._table
            if process.name in self._waiting_for
        }
        if self._set_up.name in self._waiting_for:
            late[self._set_up.name] = "did not finish"
        return "\n".join([
            f"not ready after {seconds} s: {', '.join(late)}",
            *(f"{name} {what}{self._children[name].last_lines()}" for name, what in late.items()),
            *filter(None, [describe_overload()]),
            f"To wait longer, set KINORA_READY_SECONDS to more than {seconds}.",
        ])  # fmt: skip

    async def _wait_ready(self, roles: set[str]) -> None:
        await asyncio.gather(*(self._wait_for(process) for process in self._of_role(roles)))

    async def _wait_for(self, process: Process) -> None:
        self._waiting_for.add(process.name)
        # Another process sets no event of ours, so it is polled.
        while not await asyncio.to_thread(is_ready, process.probe):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        self._waiting_for.discard(process.name)

    async def _run_set_up(self) -> None:
        name = self._set_up.name
        self._waiting_for.add(name)
        self._children[name] = child = await self._start(self._set_up)
        status = await child.ended()
        if status != 0:
            raise _StackFailedError(child.describe_end(status))
        self._waiting_for.discard(name)

    async def _keep(self, process: Process) -> None:
        """Fail when the process ends."""
        child = self._children[process.name]
        raise _StackFailedError(child.describe_end(await child.ended()))

    async def _keep_storing(self, nats: Process) -> None:
        """As `_keep`, but restart NATS when it has stopped storing messages."""
        while True:
            end = asyncio.create_task(self._keep(nats))
            try:
                await _first(end, self._room_after_a_write_error())
            finally:
                end.cancel()
            await self._children[nats.name].stop(_SERVER_GRACE_SECONDS)
            self._children[nats.name] = await self._start(nats)
            print("NATS was restarted: there is room again.", flush=True)

    async def _room_after_a_write_error(self) -> None:
        problem = await self._children["nats"].line(WRITE_ERROR)
        print(
            f"NATS has stopped storing messages: {problem['reason'].strip()}. It is restarted once "
            f"there is room for {self._stack.data}; until then, requests get 503.",
            file=sys.stderr,
            flush=True,
        )
        await wait_for_room(self._stack.data / "nats")

    async def _stop(self, roles: set[str], grace_seconds: float) -> None:
        names = [process.name for process in self._of_role(roles)]
        started = [self._children[name] for name in names if name in self._children]
        await asyncio.gather(*(child.stop(grace_seconds) for child in started))

    def _of_role(self, roles: set[str]) -> list[Process]:
        return [process for process in self._table if process.role in roles]


async def _first(end: asyncio.Task[None], event: Coroutine[None, None, None]) -> None:
    """Wait for the event; raise the exception of `end` if that comes first."""
    waiting = asyncio.create_task(event)
    try:
        done, _ = await asyncio.wait({end, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    for task in done:
        await task
