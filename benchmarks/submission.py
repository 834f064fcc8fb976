"""How many requests for videos are taken in a second, and how fast each, beside what else could be.

`python -m benchmarks.submission` starts four servers, each one process, and prints a table:
Kinora's `submit`; the bare limit on the same server (a Flask route that publishes the same bytes
and waits for JetStream's answer); and what one would write instead (FastAPI with Redis, and with
Celery on Redis). Every write is synced to the disk before it is answered, on all sides.

The contestants take turns in short rounds, and what is printed are the medians of the rounds, so
that other work on the machine meets all of them. Clients share the cores with the servers.
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

from benchmarks.load import Load, measure
from local.probes import Probe, is_ready
from tests.harness import RunningStack, wait_until
from tests.ports import free_ports

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("fastapi", "uvicorn", "redis", "celery")
CLIENTS: Final = (1, 8)
OURS, BARE = "Kinora: POST /v1/videos", "bare: Flask + JetStream ack"
OTHERS: Final = ("FastAPI + Redis", "FastAPI + Celery + Redis")
BARE_AIM: Final = 0.7
BODY: Final = json.dumps(
    {"prompt": "a red circle moving right", "seconds": "2", "size": "96x64", "seed": 7}
).encode()
# Nobody takes the requests out again, and the limits are not what is measured.
SETTINGS: Final = {"QUEUE_LIMIT": "100000000", "REQUESTS_MAX_BYTES": str(1 << 36)}


@dataclass(frozen=True)
class Contestant:
    """A server under test."""

    name: str
    port: int
    argv: list[str]
    env: dict[str, str]


def _contestants(stack: RunningStack, folder: Path) -> list[Contestant]:
    submit = stack.table["submit"]
    bare, queue, celery, redis_port = free_ports(4)
    env = dict(submit.env)
    redis = {"REDIS_URL": f"redis://127.0.0.1:{redis_port}"}
    server = [sys.executable, "-m", "gunicorn", "-c", "benchmarks/contestants/gunicorn.conf.py"]
    return [
        Contestant(OURS, submit.probe.port, submit.argv, env),
        Contestant(
            BARE, bare, server, env | {"PORT": str(bare), "PAYLOAD": str(folder / "payload")}
        ),
        Contestant(OTHERS[0], queue, _uvicorn("redis_queue", queue), env | redis),
        Contestant(OTHERS[1], celery, _uvicorn("celery_queue", celery), env | redis),
    ]


def _uvicorn(module: str, port: int) -> list[str]:
    app = f"benchmarks.contestants.{module}:create_app"
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
    # Written and synced before it is answered, as NATS does; and nothing else is written.
    synced = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    return ["redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", str(folder), *synced]


def _stored(stack: RunningStack) -> bytes:
    """The newest request as it lies in the stream."""

    async def read() -> bytes:
        client = await nats.connect(stack.nats_url)
        message = await client.jetstream().get_last_msg("REQUESTS", "kinora.requests.*.*")
        await client.close()
        return message.data or b""

    return asyncio.run(read())


def _start(contestant: Contestant, folder: Path, end: ExitStack) -> int:
    log = folder / f"{contestant.port}.log"
    pid = end.enter_context(_running(contestant.name, contestant.argv, contestant.env, log))
    probe = Probe("http", contestant.port, "/readyz")
    wait_until(lambda: is_ready(probe), seconds=60, what=f"{contestant.name} is ready")
    return pid


def _cpu_seconds(pid: int) -> float:
    """Processor time that a server has used, without that of NATS or Redis."""
    server = psutil.Process(pid)
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return sum(time.user + time.system for time in times)


@dataclass(frozen=True)
class Measured:
    """One round of one contestant; processor time is the server's, for each request."""

    load: Load
    cpu_seconds: float


Results = dict[tuple[str, int], list[Measured]]


def _measure(contestant: Contestant, pid: int, clients: int, seconds: float) -> Measured:
    before = _cpu_seconds(pid)
    load = measure(contestant.port, BODY, clients=clients, seconds=seconds)
    return Measured(load, (_cpu_seconds(pid) - before) / len(load.latencies))


def _run(folder: Path, rounds: int, seconds: float) -> Results:
    results: Results = {}
    with ExitStack() as end:
        stack = RunningStack(folder / "stack", SETTINGS)
        end.callback(stack.close)
        stack.start_servers()
        contestants = _contestants(stack, folder)
        redis_port = contestants[-1].env["REDIS_URL"].rpartition(":")[2]
        end.enter_context(
            _running("Redis", _redis(redis_port, folder), dict(os.environ), folder / "redis.log")
        )
        pids = {}
        for contestant in contestants:
            pids[contestant.name] = _start(contestant, folder, end)
            measure(contestant.port, BODY, clients=max(CLIENTS), seconds=1)  # warms it up
            if contestant.name == OURS:
                (folder / "payload").write_bytes(_stored(stack))
        for number in range(rounds):
            for clients in CLIENTS:
                # Each goes first in turn, so that none always follows the same.
                turn = number % len(contestants)
                for contestant in contestants[turn:] + contestants[:turn]:
                    measured = _measure(contestant, pids[contestant.name], clients, seconds)
                    results.setdefault((contestant.name, clients), []).append(measured)
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return results


def _print(results: Results) -> None:
    for clients in CLIENTS:
        rates = {
            name: statistics.median(measured.load.rate for measured in results[name, clients])
            for name in (OURS, BARE, *OTHERS)
        }
        print(f"{clients} client{'s' * (clients > 1)}")
        print(
            f"{'':<27} {'per second':>16} {'of bare':>8} {'p50 ms':>7} {'p99 ms':>7} {'CPU ms':>7}"
        )
        for name, rate in rates.items():
            row = _row(results[name, clients], rate / rates[BARE])
            print(f"{name:<27} {row}")
        versus = ", ".join(f"{rates[OURS] / rates[name]:.2f} x {name}" for name in OTHERS)
        print(f"{'Kinora is':<27} {versus}; aims: {BARE_AIM:.0%} of bare, ahead of both\n")


def _row(rounds: list[Measured], ratio: float) -> str:
    rates = [measured.load.rate for measured in rounds]
    shown = f"{statistics.median(rates):.0f} ({min(rates):.0f}-{max(rates):.0f})"
    p50 = statistics.median(measured.load.percentile(50) for measured in rounds)
    p99 = statistics.median(measured.load.percentile(99) for measured in rounds)
    cpu = statistics.median(measured.cpu_seconds for measured in rounds)
    return f"{shown:>16} {ratio:8.0%} {1000 * p50:7.1f} {1000 * p99:7.1f} {1000 * cpu:7.2f}"


def _missing() -> str | None:
    """What has to be installed first."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return f"{', '.join(missing)} missing: pip install -c constraints.txt -e '.[benchmarks]'"
    if shutil.which("redis-server") is None:
        return "redis-server is missing: apt-get install redis-server"
    return None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7, help="of all contestants")
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement")
    parser.add_argument("--folder", help="where data is written; the system's default otherwise")
    options = parser.parse_args()
    if missing := _missing():
        raise SystemExit(missing)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        results = _run(Path(folder), options.rounds, options.seconds)
    print(f"{os.cpu_count()} cores, medians (least-most) of {options.rounds} rounds\n")
    _print(results)


if __name__ == "__main__":
    main()
