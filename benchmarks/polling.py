"""What it costs to read the state of videos, and how many clients may poll one `status`.

`python -m benchmarks.polling` starts NATS, `status` and the gateway, and prints two tables:
the processor time of the server process for each kind of read, beside that of a bare Flask route
with one direct get of JetStream (the baseline); and what clients get that each poll once a second.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from benchmarks.list_streams import Videos, fill, video_key
from benchmarks.load_generator import LoadResult, generate_load, get
from benchmarks.polling_clients import poll
from local.probes import Probe, is_ready
from tests.harness import RunningStack
from tests.patience import wait_until
from tests.ports import free_ports

ROOT: Final = Path(__file__).parents[1]
# Callers poll without the limits that protect a server from them.
SETTINGS: Final = {"ACCOUNT_REQUESTS_PER_SECOND": "1e6", "QUEUE_LIMIT": "100000000"}
BASELINE: Final = "baseline: Flask, one direct get"
CALLERS: Final = (1, 8)


@dataclass(frozen=True)
class Server:
    """A server under test, and the process that does its work."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time so far, in seconds."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system


@contextmanager
def bare_server(stack: RunningStack, folder: Path) -> Iterator[Server]:
    """The baseline, with the gunicorn settings of `status`."""
    (port,) = free_ports(1)
    argv = [sys.executable, "-m", "gunicorn", "-c", "functions/status/gunicorn.conf.py"]
    argv.append("benchmarks.alternatives.flask_direct_get:create_app()")
    env = dict(stack.table["status"].env) | {"PORT": str(port)}
    with (folder / "bare.log").open("wb") as log:
        process = subprocess.Popen(argv, env=env, cwd=ROOT, stdout=log, stderr=log)
    try:
        probe = Probe("http", int(port), "/readyz")
        wait_until(lambda: is_ready(probe), seconds=60, what="the baseline is ready")
        (worker,) = psutil.Process(process.pid).children()
        yield Server(int(port), worker.pid)
    finally:
        process.terminate()
        process.wait(20)


def cost(server: Server, path: str, callers: int, seconds: float) -> float:
    """Milliseconds of processor time for each answer."""
    before = server.cpu_seconds()
    load = generate_load(server.port, get(server.port, path), clients=callers, seconds=seconds)
    return 1000 * (server.cpu_seconds() - before) / len(load.latencies)


def print_costs(status: Server, bare: Server, videos: int, rounds: int, seconds: float) -> None:
    """Measure all reads in turns, and print the first table."""
    completed, queued = _path(videos // 2), _path(videos - 1)
    reads = {
        BASELINE: (bare, completed),
        "GET a completed video": (status, completed),
        "GET a queued video": (status, queued),
        "a list of 20": (status, "/v1/videos"),
        "a list of 100": (status, "/v1/videos?limit=100"),
    }
    print(f"{'milliseconds of processor time':<34}", end="")
    print("".join(f"{f'{callers} callers':>12} {'ratio':>6}" for callers in CALLERS))
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for callers in CALLERS:
            for name, (server, path) in reads.items():
                found.setdefault((name, callers), []).append(cost(server, path, callers, seconds))
    medians = {key: statistics.median(values) for key, values in found.items()}
    for name in reads:
        row = [(medians[name, n], medians[name, n] / medians[BASELINE, n]) for n in CALLERS]
        print(f"{name:<34}" + "".join(f"{ms:12.2f} {ratio:6.2f}" for ms, ratio in row), flush=True)


def print_polling(
    stack: RunningStack, status: Server, bare: Server, videos: int, clients: int, seconds: float
) -> None:
    """Let clients poll the baseline, the function and the gateway, and print their rows."""
    queued = [_path(videos - 1 - n % (videos // 50)) for n in range(clients)]
    completed = [_path(n % (videos // 2)) for n in range(clients)]
    gateway = Server(stack.stack.ports["gateway"], status.pid)
    for name, server, paths in (
        (BASELINE, bare, completed),
        ("status, completed videos", status, completed),
        ("status, queued videos", status, queued),
        ("gateway, queued videos", gateway, queued),
    ):
        before = server.cpu_seconds()
        load = poll(server.port, paths, seconds=seconds)
        used = 1000 * (server.cpu_seconds() - before) / len(load.latencies)
        print(f"{clients:>7}  {name:<34}{_shown(load)} {used:10.2f}", flush=True)


def _path(n: int) -> str:
    return f"/v1/videos/{video_key(n).video_id}"


def _shown(load: LoadResult) -> str:
    p50, p99 = (1000 * load.percentile(percent) for percent in (50, 99))
    return f"{load.rate:10.0f} {p50:10.0f} {p99:10.0f}"


def main() -> None:
    """Fill the streams, start the servers, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the first table")
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement of a cost")
    parser.add_argument("--clients", type=int, nargs="*", default=[100, 1000, 3000])
    parser.add_argument("--poll-seconds", type=float, default=15, help="of each row of polling")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stack = RunningStack(Path(folder) / "stack", SETTINGS)
        try:
            stack.start_servers()
            fill(stack.nats_url, Videos(options.videos))
            stack.start("status", "submit", "gateway")
            status = Server(stack.stack.ports["status"], stack.worker_pid("status"))
            with bare_server(stack, Path(folder)) as bare:
                print_costs(status, bare, options.videos, options.rounds, options.seconds)
                print(f"\n{'clients':>7}  {'':<34}{'answers/s':>10} {'p50 ms':>10}", end="")
                print(f" {'p99 ms':>10} {'CPU ms':>10}")
                for clients in options.clients:
                    print_polling(
                        stack, status, bare, options.videos, clients, options.poll_seconds
                    )
        finally:
            stack.close()


if __name__ == "__main__":
    main()
