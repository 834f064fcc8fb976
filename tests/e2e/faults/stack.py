"""The real stack with a proxy on each connection and processes that can be killed and frozen."""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Final

import boto3
import psutil
from botocore.config import Config

from tests.e2e.faults.proxy import Proxy, ProxyLoop
from tests.e2e.faults.streams import Streams
from tests.engines import Engines
from tests.harness import RunningStack, stands_still
from tests.patience import scaled, wait_until

FUNCTIONS: Final = ("submit", "status", "dispatch", "generate-1", "generate-2")
WORKERS: Final = ("generate-1", "generate-2")
SERVERS: Final = ("nats", "s3")
KEYS: Final = {"acme": "key-of-acme", "zenith": "key-of-zenith"}

# Short, so that a takeover fits into a test's time limits; the relations are those of the
# defaults. A lease of 4 s leaves two renewals room on a machine that is busy with other work.
SHORT: Final = {
    "LEASE_SECONDS": "4",
    "LEASE_RENEW_SECONDS": "1",
    "TAKEOVER_GRACE_SECONDS": "3",
    "SILENCE_SECONDS": "6",
    "FIRST_BYTE_SECONDS": "20",
    # Longer than a test holds an engine.
    "HANG_SECONDS": "60",
    # A video of the tests is done in less, so that SIGTERM never cuts one off.
    "DRAIN_SECONDS": "90",
}
# Above the 15 s at which `dispatch` asks for more time, below what a test would wait for.
SHORT_ACK_WAIT: Final = 20.0

# How far each machine's clock is ahead, in seconds: by more than any lease, and by less than the
# 15 minutes that S3 allows for the time of a signature. Two workers are three minutes apart.
CLOCKS: Final = {
    "submit": "-45",
    "status": "+75",
    "dispatch": "+60",
    "generate-1": "+90",
    "generate-2": "-90",
}

# A new process has no video, whatever the one before it had begun.
_STEP: Final = re.compile(r"Booting worker|(\S+): attempt (\d+) (begins|ended)")


class FaultyStack(RunningStack):
    """A stack of two replicas and two accounts, in which no two clocks agree.

    `proxies` has one proxy for each connection.

    Their names: `client` (to the gateway), `sink` (from `dispatch` to the replicas), `s3`, and
    `nats/<function>` for each function.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str], *, clustered: bool = False
    ) -> None:
        """Prepare everything and start nothing; `settings` are environment variables.

        With `clustered`, three NATS servers keep every message three times, and a fault of `nats`
        is one of any of them.
        """
        folder.mkdir(parents=True, exist_ok=True)
        keys = folder / "keys"
        lines = [f"{hashlib.sha256(k.encode()).hexdigest()} {name}" for name, k in KEYS.items()]
        keys.write_text("\n".join(lines))
        super().__init__(folder, {"API_KEYS_FILE": str(keys), **settings}, clustered=clustered)
        self.streams: Final = Streams(self.nats_url)
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
                env={**self.table[name].env, **self._through_proxies(name), **_clock(name)},
            )

    def _through_proxies(self, name: str) -> dict[str, str]:
        # Of a cluster one server is behind the proxy: cut off from it, a function has two others.
        ports = [self.proxies[f"nats/{name}"].port]
        ports += [server.probe.port for server in self.nats_servers[1:]]
        return {
            "NATS_URL": ",".join(f"nats://127.0.0.1:{port}" for port in ports),
            "S3_ENDPOINT": f"http://127.0.0.1:{self.proxies['s3'].port}",
            "K_SINK": f"http://127.0.0.1:{self.proxies['sink'].port}",
        }

    @property
    def client_url(self) -> str:
        """The gateway, by way of the proxy that cuts off callers."""
        return f"http://127.0.0.1:{self.proxies['client'].port}"

    def start_servers(self) -> None:
        """As for any stack; and from the first message on, keep all that the streams take."""
        super().start_servers()
        self.streams.start_audit()

    def part(self, target: str) -> str:
        """The process that a fault of `target` is about."""
        if target == "nats":
            return random.choice(self.nats_servers).name
        return target

    def master(self, name: str) -> psutil.Process:
        """The process that was started: a server, or gunicorn's master."""
        return psutil.Process(self.running[name].pid)

    def worker(self, name: str) -> psutil.Process:
        """The process in which the function runs."""
        return psutil.Process(self.worker_pid(name))

    def freeze(self, name: str) -> list[psutil.Process]:
        """SIGSTOP a process and all below it, as a paused container; the answer is what to thaw.

        The master goes first: it would take a worker's silence for a hang, and end it.
        """
        frozen = []
        for process in [master := self.master(name), *master.children(recursive=True)]:
            if process.is_running():
                process.suspend()
                wait_until(partial(stands_still, process.pid), seconds=10, what=f"{name} stops")
                frozen.append(process)
        return frozen

    def restart(self, name: str) -> None:
        """SIGKILL everything of a process, and start it again with its data as it lies there."""
        self.kill(name)
        self.start(name)

    def kill_worker(self, name: str) -> None:
        """SIGKILL gunicorn's worker; its master starts another one."""
        os.kill(self.worker(name).pid, signal.SIGKILL)

    def whole_log(self, name: str) -> str:
        """All that a process and its predecessors of the same name have written."""
        path = self.stack.log_of(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def video_on(self, name: str) -> tuple[str, int] | None:
        """The video that a replica works on, and the number of the attempt."""
        steps = _STEP.findall(self.whole_log(name))
        if not steps or steps[-1][2] != "begins":
            return None
        return steps[-1][0], int(steps[-1][1])

    def worker_of(self, video_id: str, attempt: int = 1) -> str:
        """The name of the replica that has begun this attempt."""
        text = f"{video_id}: attempt {attempt} begins"
        return wait_until(
            lambda: next((n for n in WORKERS if text in self.whole_log(n)), None),
            seconds=60,
            what=text,
        )

    def s3(self) -> Any:
        """A plain client of the object store, past the proxy."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.stack.ports['s3']}",
            region_name="us-east-1",
            aws_access_key_id=self.credentials.access_key,
            aws_secret_access_key=self.credentials.secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )

    def sweep(self) -> None:
        """Run the sweeper once over all objects, whatever their age."""
        env = dict(self.table["dispatch"].env)
        env["NATS_URL"] = self.nats_url
        with self.stack.log_of("sweep").open("ab") as log:
            subprocess.run(
                [sys.executable, "-m", "tests.e2e.faults.sweep_once"],
                env=env, cwd=self.stack.root, stdout=log, stderr=log, check=True,
                timeout=scaled(120),
            )  # fmt: skip

    def heal(self) -> None:
        """Heal all connections, resume engines, and start processes that are not running."""
        self.engines.let_go()
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


def _clock(name: str) -> dict[str, str]:
    library = resources.files("libfaketime") / "vendor/libfaketime/src/libfaketime.so.1"
    # What counts time that passes is right on every machine; only its date is not.
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": CLOCKS[name],
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@contextmanager
def faulty_stack(
    folder: Path, settings: Mapping[str, str] = SHORT, *, clustered: bool = False
) -> Iterator[FaultyStack]:
    """A started stack; with short settings, requests of a killed `dispatch` come back soon too."""
    stack = FaultyStack(folder, settings, clustered=clustered)
    try:
        stack.start_all()
        if settings is SHORT:
            stack.streams.set_ack_wait(SHORT_ACK_WAIT)
        yield stack
    finally:
        stack.close()
