"""The running processes of a stack: starting them, relaying their output, stopping them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from local import orphan_reaper
from local.processes import Command

_TAIL_LINES = 40  # of a failed process: enough for gunicorn's traceback and one of Kinora's
_LONGEST_LINE = 64 << 10  # a longer one is split
_LARGEST_LOG = 10 << 20  # a larger log is rotated at the start; one old log is kept
_IMPORTANT = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|^\w*(Error|Exception)\b", re.IGNORECASE)
# Killed processes exit within milliseconds. Zombies that nothing reaps stay, so waiting is bounded.
_GROUP_SECONDS = 1.0


class ProcessGroup:
    """The process group of a stack, which is killed when this process exits, if not before.

    Args:
        keep: file descriptors that stay open until the group has exited, such as a lock's.
    """

    def __init__(self, keep: Iterable[int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", orphan_reaper.__file__],
            stdin=subprocess.PIPE,
            process_group=0,
            pass_fds=tuple(keep),
        )

    @property
    def id(self) -> int:
        """The id of the process group."""
        return self._process.pid

    def kill(self) -> None:
        """Kill the remaining processes of the group, and wait until they have exited."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()
        deadline = time.monotonic() + _GROUP_SECONDS
        while _exists(self.id) and time.monotonic() < deadline:
            time.sleep(0.01)


class Child:
    """One running process, with its log file and its last lines."""

    def __init__(self, name: str, running: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.shows_warnings = False
        self._awaited: list[tuple[re.Pattern[str], asyncio.Future[re.Match[str]]]] = []
        self._running = running
        self._relay = asyncio.create_task(self._relay_output())

    @classmethod
    async def start(cls, command: Command, log: Path, group: int) -> Child:
        """Start `command` in the process group `group`; its output goes to `log`.

        Raises:
            OSError: it can't be started.
        """
        running = await asyncio.create_subprocess_exec(
            *command.argv,
            env=command.env,
            cwd=command.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            process_group=group,
        )
        return cls(command.name, running, log)

    async def ended(self) -> int:
        """Wait until it exits; return its exit status, or the negated number of a signal."""
        status = await self._running.wait()
        # A grandchild may hold the pipe open for longer; its output is not needed.
        await asyncio.wait({self._relay}, timeout=0.5)
        return status

    async def line(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Wait for a line of its output that has a match; cancelled if it is not needed."""
        found: asyncio.Future[re.Match[str]] = asyncio.get_running_loop().create_future()
        self._awaited.append((pattern, found))
        return await found

    async def stop(self, grace_seconds: float) -> None:
        """Send SIGTERM, and SIGKILL if it has not exited after `grace_seconds`."""
        self.shows_warnings = False
        if self._running.returncode is not None:
            return
        self._running.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._running.wait(), grace_seconds)
        except TimeoutError:
            self._running.kill()
            await self._running.wait()

    async def _relay_output(self) -> None:
        stream = self._running.stdout
        if stream is None:  # never: stdout is a pipe
            return
        rest = b""
        with _open_log(self.log) as log:
            while chunk := await stream.read(_LONGEST_LINE):
                with contextlib.suppress(OSError):  # a full disk; the output still has to be read
                    log.write(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _LONGEST_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._take(line)
            if rest:
                self._take(rest)

    def _take(self, output: bytes) -> None:
        line = output.decode(errors="replace").rstrip()
        self.tail.append(line)
        for pattern, found in self._awaited:
            if not found.done() and (match := pattern.search(line)):
                found.set_result(match)
        if self.shows_warnings and _IMPORTANT.search(line):
            print(f"{self.name:<11} | {line}", flush=True)

    def describe_end(self, status: int) -> str:
        """Describe how it exited, with the last lines of its log."""
        how = f"status {status}" if status >= 0 else signal.Signals(-status).name
        return f"{self.name} ended with {how}{self.last_lines()}"

    def last_lines(self) -> str:
        """Return the last lines of its log under a heading, to be appended to a message."""
        if not self.tail:
            return f"\n{self.log} is empty"
        return f"\nlast lines of {self.log}:" + "".join(f"\n  {line}" for line in self.tail)


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _open_log(path: Path) -> BinaryIO:
    if path.exists() and path.stat().st_size > _LARGEST_LOG:
        path.rename(path.with_suffix(".log.1"))
    # Unbuffered, so that `tail -f` works; private, as it may contain prompts.
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb", 0)
