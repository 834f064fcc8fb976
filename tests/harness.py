"""Real servers and functions for tests: the processes of `make run`, controlled by the test."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import psutil

from local.files import Credentials, prepare
from local.probes import is_ready
from local.processes import Command, Process, processes, set_up
from local.stack import ROOT, Stack
from tests.cluster import cluster
from tests.patience import wait_until
from tests.ports import stack_settings

C = TypeVar("C", bound=Command)


def is_stopped(pid: int) -> bool:
    """Whether no thread of a process runs: SIGSTOP has reached all of them, or they have ended.

    A thread stops when it is next scheduled; on a busy machine others keep running until then.
    """
    try:
        stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return not psutil.pid_exists(pid)
    # proc(5): the state follows the name, which may have any characters, in parentheses.
    return all(stat.rpartition(")")[2].split()[0] in {"T", "Z", "X"} for stat in stats)


class RunningStack:
    """A separate stack on free ports, whose processes a test can start, stop and kill."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        replicas: int = 2,
        clustered: bool = False,
    ) -> None:
        """Keep data and logs below `folder`; `settings` are environment variables.

        With `clustered`, three NATS servers keep every message three times.
        """
        environ = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "KINORA_DATA": str(folder),
            "GENERATE_REPLICAS": str(replicas),
            **stack_settings(replicas),
            **(settings or {}),
        }
        self.stack = Stack.from_environ(environ, ROOT)
        self.credentials: Credentials = prepare(self.stack)
        table = processes(self.stack, self.credentials)
        self.nats_servers = [process for process in table if process.name == "nats"]
        self._changes: dict[str, str] = {}
        if clustered:
            self.nats_servers = cluster(self.nats_servers[0], folder)
            self._changes = {"NATS_URL": self.nats_url, "STREAM_REPLICAS": "3"}
        rest = [process for process in table if process.name != "nats"]
        self.table = {p.name: self._changed(p) for p in (*self.nats_servers, *rest)}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """The gateway."""
        return self.stack.url

    @property
    def nats_url(self) -> str:
        """The NATS server, or all of them separated by commas."""
        return ",".join(f"nats://127.0.0.1:{server.probe.port}" for server in self.nats_servers)

    def _changed(self, command: C) -> C:
        return replace(command, env={**command.env, **self._changes})

    def start_servers(self) -> None:
        """Start NATS and the object store, and create streams, consumer and bucket."""
        names = [name for name, process in self.table.items() if process.role == "server"]
        self.start(*names)
        self.set_up()

    def set_up(self) -> None:
        """Run the set-up command; fail with the end of its log."""
        command = self._changed(set_up(self.stack, self.credentials))
        self.run_to_the_end(command)

    def restore_videos(self, **changes: str) -> str:
        """Run the operator's command with `changes` of its environment; return what it has said."""
        command = self._changed(set_up(self.stack, self.credentials))
        name = "restore-videos"
        self.stack.log_of(name).unlink(missing_ok=True)
        argv, env = [*command.argv, name], {**command.env, **changes}
        self.run_to_the_end(replace(command, name=name, argv=argv, env=env))
        return self.log(name)

    def run_to_the_end(self, command: Command, *, seconds: float = 120) -> None:
        """Run a command, and return when it has succeeded; fail with the end of its log."""
        process = self._popen(command)
        _wait_for_end(process, seconds=seconds, what=f"{command.name} has ended")
        if process.returncode != 0:
            raise AssertionError(f"{command.name} failed:\n{self.log(command.name)}")

    def start_all(self) -> None:
        """Start everything, and return when all of it is ready."""
        self.start_servers()
        rest = [name for name, process in self.table.items() if process.role != "server"]
        self.start(*rest)

    def start(self, *names: str) -> None:
        """Start processes and wait until they are ready."""
        self.launch(*names)
        for name in names:
            self.wait_ready(name)

    def launch(self, *names: str) -> None:
        """Start processes that need not become ready."""
        for name in names:
            self.running[name] = self._popen(self.table[name])

    def _popen(self, command: Command) -> subprocess.Popen[bytes]:
        with self.stack.log_of(command.name).open("ab") as log:
            return subprocess.Popen(
                command.argv,
                env=dict(command.env),
                cwd=command.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self, name: str, *, seconds: float = 90) -> None:
        """Return when the process answers its probe; fail with the end of its log."""
        process: Process = self.table[name]

        def ready() -> bool:
            status = self.running[name].poll()
            if status is not None:
                raise AssertionError(f"{name} ended with {status}:\n{self.log(name)}")
            return is_ready(process.probe)

        try:
            wait_until(ready, seconds=seconds, what=f"{name} is ready")
        except AssertionError as late:
            raise type(late)(f"{late}\n{self.log(name)}") from None

    def log(self, name: str) -> str:
        """The end of a process's log; empty before the process is started."""
        path = self.stack.log_of(name)
        return path.read_text(errors="replace")[-20_000:] if path.exists() else ""

    def worker_pid(self, name: str) -> int:
        """The process that does the work: gunicorn's worker, which holds the engine."""
        master = psutil.Process(self.running[name].pid)
        return wait_until(
            lambda: next((child.pid for child in master.children()), None),
            seconds=60,
            what=f"{name} has a worker",
        )

    def kill(self, name: str) -> None:
        """SIGKILL a process and its descendants, and wait until they have exited."""
        process = self.running.pop(name)
        if process.poll() is not None:
            return
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in family:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        _wait_for_end(process, seconds=10, what=f"{name} is killed")
        wait_until(
            lambda: all(map(_has_exited, family)),
            seconds=10,
            what=f"all processes of {name} have exited",
        )

    def stop(
        self, name: str, *, seconds: float = 30, then: Callable[[], None] = lambda: None
    ) -> None:
        """SIGTERM a process, call `then`, and wait until the process has exited."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        then()
        _wait_for_end(process, seconds=seconds, what=f"{name} stops")

    def remove_data(self, name: str) -> None:
        """Remove the data of a stopped server."""
        shutil.rmtree(self.stack.data / name)

    def close(self) -> None:
        """Kill all processes."""
        for name in reversed(list(self.running)):
            self.kill(name)


def _has_exited(process: psutil.Process) -> bool:
    # Orphans become zombies where nothing reaps them, as in a container without an init. A process
    # may also be reaped between two looks at it.
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _wait_for_end(process: subprocess.Popen[bytes], *, seconds: float, what: str) -> None:
    wait_until(lambda: process.poll() is not None, seconds=seconds, what=what)
