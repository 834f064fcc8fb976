"""The real stack, with a proxy on each connection and processes that can be killed and frozen."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import boto3
import psutil
from botocore.config import Config

from tests.accounts import write_accounts
from tests.e2e.faults.proxy import Proxy, ProxyLoop
from tests.e2e.faults.streams import Streams
from tests.engines import Engines
from tests.harness import RunningStack, is_stopped
from tests.log_lines import logged
from tests.patience import scaled, wait_until
from tests.small_disk import SmallDisk, small_disk
from tests.wrong_clocks import adjustable_clock

FUNCTIONS: Final = ("submit", "status", "dispatch", "generate-1", "generate-2")
WORKERS: Final = ("generate-1", "generate-2")
SERVERS: Final = ("nats", "s3")
KEYS: Final = {"acme": "key-of-acme", "zenith": "key-of-zenith"}

# Short, so that a takeover fits into a test's time limit, in the same proportions as the defaults.
# A lease of 4 s still leaves time for two renewals on a busy machine.
SHORT: Final = {
    "LEASE_SECONDS": "4",
    "LEASE_RENEW_SECONDS": "1",
    "TAKEOVER_GRACE_SECONDS": "3",
    "SILENCE_SECONDS": "6",
    "FIRST_BYTE_SECONDS": "20",
    # Longer than a test holds an engine.
    "HANG_SECONDS": "60",
    # Longer than any video of the tests, so that SIGTERM never interrupts one.
    "DRAIN_SECONDS": "90",
}
# Above the 15 s after which `dispatch` extends the ack wait, and below the tests' time limits.
SHORT_ACK_WAIT: Final = 20.0

# Clock offset of each function, in seconds: more than any lease, and less than the 15 minutes that
# S3 accepts for the time of a signature. The two workers are three minutes apart.
CLOCKS: Final = {
    "submit": "-45",
    "status": "+75",
    "dispatch": "+60",
    "generate-1": "+90",
    "generate-2": "-90",
}

# A new worker has no video, even if its predecessor had started one.
_STEP: Final = re.compile(r"Booting worker|attempt (begins|ended).* attempt=(\d+) .*video_id=(\S+)")


class FaultyStack(RunningStack):
    """A stack with two replicas, two accounts, and a different clock in each function.

    `proxies` has one proxy for each connection: `client` (to the gateway), `sink` (from `dispatch`
    to the replicas), `s3`, and `nats/<function>` for each function.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str], *, clustered: bool = False
    ) -> None:
        """Prepare a stack without starting it; `settings` are environment variables.

        With `clustered`, three NATS servers replicate every message, and a fault in `nats` hits a
        random one of them.
        """
        folder.mkdir(parents=True, exist_ok=True)
        keys = {key: account for account, key in KEYS.items()}
        parts = {min(KEYS): "weight = 3.0\nmax_running = 2"}
        accounts = write_accounts(folder / "accounts", keys, limits=parts)
        super().__init__(folder, {"ACCOUNTS_FILE": accounts, **settings}, clustered=clustered)
        self.streams: Final = Streams(self.nats_url)
        # Of NATS, if it has one of its own.
        self.disk: SmallDisk | None = None
        self.engines: Final = Engines(self)
        self._loop = ProxyLoop()
        ports = self.stack.ports
        self.proxies = {
            "client": Proxy(self._loop, ports["gateway"]),
            "sink": Proxy(self._loop, ports["activator"]),
            "s3": Proxy(self._loop, ports["s3"]),
            **{
                f"nats/{name}": Proxy(self._loop, self.nats_servers[0].probe.port)
                for name in FUNCTIONS
            },
        }
        for name in FUNCTIONS:
            self.table[name] = replace(
                self.table[name],
                env={
                    **self.table[name].env,
                    **self._proxied_addresses(name),
                    **adjustable_clock(self._clock_of(name)),
                },
            )
            self.set_clock(name, CLOCKS[name])

    def _proxied_addresses(self, name: str) -> dict[str, str]:
        # In a cluster, only one server is behind the proxy, so a function can use the other two.
        ports = [self.proxies[f"nats/{name}"].port]
        ports += [server.probe.port for server in self.nats_servers[1:]]
        return {
            "NATS_URL": ",".join(f"nats://127.0.0.1:{port}" for port in ports),
            "S3_ENDPOINT": f"http://127.0.0.1:{self.proxies['s3'].port}",
            "K_SINK": f"http://127.0.0.1:{self.proxies['sink'].port}",
        }

    def _clock_of(self, name: str) -> Path:
        return self.stack.data / f"clock-of-{name}"

    def set_clock(self, name: str, offset: str) -> None:
        """Let the wall clock of a function jump to `offset` from the true time, such as `-2h`."""
        draft = self._clock_of(name).with_suffix(".draft")
        draft.write_text(f"{offset}\n")
        draft.rename(self._clock_of(name))

    @property
    def client_url(self) -> str:
        """The gateway's URL, through the proxy `client`."""
        return f"http://127.0.0.1:{self.proxies['client'].port}"

    def start_servers(self) -> None:
        """Start the servers, and audit the streams from the first message on."""
        super().start_servers()
        self.streams.start_audit()

    def resolve_target(self, target: str) -> str:
        """The process that a fault in `target` hits: for `nats`, a random server."""
        if target == "nats":
            return random.choice(self.nats_servers).name
        return target

    def master(self, name: str) -> psutil.Process:
        """The process that the stack started: a server, or gunicorn's master."""
        return psutil.Process(self.running[name].pid)

    def worker(self, name: str) -> psutil.Process:
        """The process that runs the function: gunicorn's worker."""
        return psutil.Process(self.worker_pid(name))

    def freeze(self, name: str) -> list[psutil.Process]:
        """SIGSTOP a process and its descendants, like a paused container; return the frozen ones.

        The master is frozen first: it would take a frozen worker for a hung one, and kill it.
        """
        frozen = []
        for process in [master := self.master(name), *master.children(recursive=True)]:
            if process.is_running():
                process.suspend()
                wait_until(partial(is_stopped, process.pid), seconds=10, what=f"{name} stops")
                frozen.append(process)
        return frozen

    def restart(self, name: str) -> None:
        """SIGKILL a process and its descendants, and start it again with its data on disk."""
        self.kill(name)
        self.start(name)

    def kill_worker(self, name: str) -> None:
        """SIGKILL gunicorn's worker; its master starts another one."""
        os.kill(self.worker(name).pid, signal.SIGKILL)

    def full_log(self, name: str) -> str:
        """The complete log of a process and its predecessors of the same name."""
        path = self.stack.log_of(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def video_on(self, name: str) -> tuple[str, int] | None:
        """The id of the video that a replica works on, and the attempt's number; None if idle."""
        steps = _STEP.findall(self.full_log(name))
        if not steps or steps[-1][0] != "begins":
            return None
        return steps[-1][2], int(steps[-1][1])

    def worker_of(self, video_id: str, attempt: int = 1) -> str:
        """The name of the replica that started this attempt."""
        fields = {"video_id": video_id, "attempt": attempt}
        return wait_until(
            lambda: next(
                (n for n in WORKERS if logged(self.full_log(n), "attempt begins", **fields)), None
            ),
            seconds=60,
            what=f"attempt {attempt} of {video_id} begins",
        )

    def s3(self) -> Any:
        """A boto3 client of the object store that bypasses the proxy."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.stack.ports['s3']}",
            region_name="us-east-1",
            aws_access_key_id=self.credentials.access_key,
            aws_secret_access_key=self.credentials.secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )

    def sweep(self) -> None:
        """Run the sweeper once, with a minimum age of zero."""
        env = dict(self.table["dispatch"].env)
        env["NATS_URL"] = self.nats_url
        with self.stack.log_of("sweep").open("ab") as log:
            subprocess.run(
                [sys.executable, "-m", "tests.e2e.faults.sweep_once"],
                env=env, cwd=self.stack.root, stdout=log, stderr=log, check=True,
                timeout=scaled(120),
            )  # fmt: skip

    def heal(self) -> None:
        """Heal connections, resume engines, start missing processes; wait until all are ready."""
        self.engines.resume()
        for proxy in self.proxies.values():
            proxy.heal()
        for name in self.table:
            if name not in self.running:
                self.start(name)
        for name in self.running:
            self.wait_ready(name)

    def close(self) -> None:
        """Kill all processes."""
        super().close()
        self.streams.close()
        self._loop.close()


@contextmanager
def faulty_stack(
    folder: Path,
    settings: Mapping[str, str] = SHORT,
    *,
    clustered: bool = False,
    disk_megabytes: int | None = None,
) -> Iterator[FaultyStack]:
    """A started stack; with `SHORT`, requests of a killed `dispatch` are redelivered soon.

    With `disk_megabytes`, NATS has a disk of that size, which can be filled. That needs root.
    """
    stack = FaultyStack(folder, settings, clustered=clustered)
    with ExitStack() as exits:
        if disk_megabytes is not None:
            disk = small_disk(stack.stack.data / "nats", megabytes=disk_megabytes)
            stack.disk = exits.enter_context(disk)
        exits.callback(stack.close)
        stack.start_all()
        if settings is SHORT:
            stack.streams.set_ack_wait(SHORT_ACK_WAIT)
        yield stack
