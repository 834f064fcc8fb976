"""Throughput and latency of `POST /v1/videos`, compared with a baseline and two alternatives.

`python -m benchmarks.submission` starts four servers, each a single process, and prints a table:
Kinora's `submit`; the baseline (a Flask route that publishes the same bytes and waits for
JetStream's ack); and common alternatives (FastAPI with Redis, and with Celery on Redis). All of
them sync every write to disk before they answer.

The servers take turns in short rounds, and the table has the medians over the rounds, so that other
work on the machine affects all of them alike. Clients share the cores with the servers.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nats
import psutil

from benchmarks.load_generator import LoadResult, generate_load, post
from local.probes import Probe, is_ready
from tests.harness import RunningStack
from tests.patience import wait_until
from tests.ports import free_ports

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("fastapi", "uvicorn", "redis", "celery")
CLIENTS: Final = (1, 8)
OURS, BASELINE = "Kinora: POST /v1/videos", "baseline: Flask + JetStream"
OTHERS: Final = ("FastAPI + Redis", "FastAPI + Celery + Redis")
BASELINE_TARGET: Final = 0.7
BODY: Final = json.dumps(
    {"prompt": "a red circle moving right", "seconds": "2", "size": "96x64", "seed": 7}
).encode()
# Requests are never consumed, and must not hit the limits.
SETTINGS: Final = {
    "ACCOUNT_REQUESTS_PER_SECOND": "1e6",
    "QUEUE_LIMIT": "100000000",
    "REQUESTS_MAX_BYTES": str(1 << 36),
}


@dataclass(frozen=True)
class ServerUnderTest:
    """A server under test."""

    name: str
    port: int
    argv: list[str]
    env: dict[str, str]


def _servers(stack: RunningStack, folder: Path) -> list[ServerUnderTest]:
    submit = stack.table["submit"]
    bare, queue, celery, redis_port = free_ports(4)
    env = dict(submit.env)
    redis = {"REDIS_URL": f"redis://127.0.0.1:{redis_port}"}
    server = [sys.executable, "-m", "gunicorn", "-c", "benchmarks/alternatives/gunicorn.conf.py"]
    return [
        ServerUnderTest(OURS, submit.probe.port, submit.argv, env),
        ServerUnderTest(
            BASELINE, bare, server, env | {"PORT": str(bare), "PAYLOAD": str(folder / "payload")}
        ),
        ServerUnderTest(OTHERS[0], queue, _uvicorn("fastapi_redis", queue), env | redis),
        ServerUnderTest(OTHERS[1], celery, _uvicorn("fastapi_celery", celery), env | redis),
    ]


def _uvicorn(module: str, port: int) -> list[str]:
    app = f"benchmarks.alternatives.{module}:create_app"
    flags = ["--port", str(port), "--log-level", "warning", "--no-access-log"]
    return [sys.executable, "-m", "uvicorn", "--factory", app, *flags]


@contextmanager
def _running(name: str, argv: list[str], env: dict[str, str], log: Path) -> Iterator[int]:
    with log.open("wb") as file:
        process = subprocess.Popen(argv, env=env, cwd=ROOT, stdout=file, stderr=file)
    try:
        yield process.pid
        if process.poll() is not None:
            raise SystemExit(f"{name} ended:\n{log.read_text()[-2000:]}")
    finally:
        process.terminate()
        process.wait(20)


def _redis(port: str, folder: Path) -> list[str]:
    # Sync every write before the response, as NATS does, and write nothing else.
    synced = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    return ["redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", str(folder), *synced]


def _stored(stack: RunningStack) -> bytes:
    """The newest request in the stream, as bytes."""

    async def read() -> bytes:
        client = await nats.connect(stack.nats_url)
        message = await client.jetstream().get_last_msg("REQUESTS", "kinora.requests.*.*")
        await client.close()
        return message.data or b""

    return asyncio.run(read())


def _start(server: ServerUnderTest, folder: Path, end: ExitStack) -> int:
    log = folder / f"{server.port}.log"
    pid = end.enter_context(_running(server.name, server.argv, server.env, log))
    probe = Probe("http", server.port, "/readyz")
    wait_until(lambda: is_ready(probe), seconds=60, what=f"{server.name} is ready")
    return pid


def _cpu_seconds(pid: int) -> float:
    """CPU time used by a server so far, in seconds, without NATS or Redis."""
    server = psutil.Process(pid)
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return sum(time.user + time.system for time in times)


@dataclass(frozen=True)
class Measured:
    """One round of one server; `cpu_seconds` is the server's CPU time per request."""

    load: LoadResult
    cpu_seconds: float


Results = dict[tuple[str, int], list[Measured]]


def _measure(server: ServerUnderTest, pid: int, clients: int, seconds: float) -> Measured:
    before = _cpu_seconds(pid)
    load = generate_load(server.port, post(server.port, BODY), clients=clients, seconds=seconds)
    return Measured(load, (_cpu_seconds(pid) - before) / len(load.latencies))


def _run(folder: Path, rounds: int, seconds: float) -> Results:
    results: Results = {}
    with ExitStack() as end:
        stack = RunningStack(folder / "stack", SETTINGS)
        end.callback(stack.close)
        stack.start_servers()
        servers = _servers(stack, folder)
        redis_port = servers[-1].env["REDIS_URL"].rpartition(":")[2]
        end.enter_context(
            _running("Redis", _redis(redis_port, folder), dict(os.environ), folder / "redis.log")
        )
        pids = {}
        for server in servers:
            pids[server.name] = _start(server, folder, end)
            _measure(server, pids[server.name], max(CLIENTS), 1)  # warms it up
            if server.name == OURS:
                (folder / "payload").write_bytes(_stored(stack))
        for number in range(rounds):
            for clients in CLIENTS:
                # Rotate the order, so that no server always follows the same one.
                turn = number % len(servers)
                for server in servers[turn:] + servers[:turn]:
                    measured = _measure(server, pids[server.name], clients, seconds)
                    results.setdefault((server.name, clients), []).append(measured)
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return results


def _print(results: Results) -> None:
    for clients in CLIENTS:
        rates = {
            name: statistics.median(measured.load.rate for measured in results[name, clients])
            for name in (OURS, BASELINE, *OTHERS)
        }
        print(f"{clients} client{'s' * (clients > 1)}")
        print(
            f"{'':<27} {'per second':>16} {'of base':>8} {'p50 ms':>7} {'p99 ms':>7} {'CPU ms':>7}"
        )
        for name, rate in rates.items():
            row = _row(results[name, clients], rate / rates[BASELINE])
            print(f"{name:<27} {row}")
        versus = ", ".join(f"{rates[OURS] / rates[name]:.2f} x {name}" for name in OTHERS)
        print(f"{'Kinora is':<27} {versus}")
        print(f"{'targets':<27} {BASELINE_TARGET:.0%} of the baseline, ahead of both\n")


def _row(rounds: list[Measured], ratio: float) -> str:
    rates = [measured.load.rate for measured in rounds]
    shown = f"{statistics.median(rates):.0f} ({min(rates):.0f}-{max(rates):.0f})"
    p50 = statistics.median(measured.load.percentile(50) for measured in rounds)
    p99 = statistics.median(measured.load.percentile(99) for measured in rounds)
    cpu = statistics.median(measured.cpu_seconds for measured in rounds)
    return f"{shown:>16} {ratio:8.0%} {1000 * p50:7.1f} {1000 * p99:7.1f} {1000 * cpu:7.2f}"


def _missing() -> str | None:
    """The message about what is not installed, or None."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return f"{', '.join(missing)} missing: pip install -c constraints.txt -e '.[benchmarks]'"
    if shutil.which("redis-server") is None:
        return "redis-server is missing: apt-get install redis-server"
    return None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7, help="rounds over all servers")
    parser.add_argument("--seconds", type=float, default=2, help="duration of each measurement")
    parser.add_argument("--folder", help="where to write data; default: the system's")
    options = parser.parse_args()
    if missing := _missing():
        raise SystemExit(missing)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        results = _run(Path(folder), options.rounds, options.seconds)
    print(f"{os.cpu_count()} cores, medians (least-most) of {options.rounds} rounds\n")
    _print(results)


if __name__ == "__main__":
    main()
