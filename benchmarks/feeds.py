"""What event streams cost: the memory of clients that do not read, and the speed of a replay.

`python -m benchmarks.feeds` starts NATS, an object store and the real `status`, publishes straight
into the streams, and prints three tables. Baselines in the same run: `status` without any client, a
bare ordered consumer that reads the same messages, and the memory that the list needs for as many
videos without any client.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import nats
import psutil
from nats.aio.msg import Msg

from functions.shared.metrics import OPEN_FEEDS
from functions.shared.subjects import ALL_REQUESTS, ALL_VIDEOS, REQUESTS, VIDEOS, VideoKey
from functions.shared.video.events import EventName
from functions.status.app import MAX_FEEDS
from tests.bulk import message, publish_all
from tests.harness import RunningStack
from tests.patience import wait_until
from tests.unit.events import completed, started

# About 40 kB of UTF-8.
LARGE: Final = {
    "prompt": "\U0001f98a" * 4000,
    "metadata": {f"name {n}": "\U0001f98a" * 360 for n in range(16)},
}
LARGE_VIDEOS: Final = 400
MEMORY_TARGET: Final = 64
# Longer than it takes until the server cuts off a client that does not read.
SILENT_SECONDS: Final = 23.0
# Three keep-alives.
IDLE_SECONDS: Final = 30.0


def connect(stack: RunningStack, last_event_id: str = "") -> socket.socket:
    """A client of the event stream that has read its first line."""
    client = socket.create_connection(("127.0.0.1", stack.stack.ports["status"]), timeout=60)
    request = (
        f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {last_event_id}\r\n\r\n"
    )
    client.sendall(request.encode())
    received = b""
    while b": position " not in received:
        received += client.recv(1)
    return client


def memory_of(stack: RunningStack, name: str, readers: int) -> tuple[float, float]:
    """The growth of `status` while `readers` do not read, at most and in the end, in MiB."""
    process = psutil.Process(stack.worker_pid("status"))
    with ExitStack() as clients:
        for _ in range(readers):
            clients.enter_context(connect(stack))
        before = peak = process.memory_info().rss
        keys = [VideoKey("default", f"{name}-{n}") for n in range(LARGE_VIDEOS)]
        publish_all(stack.nats_url, [message(key, EventName.REQUESTED, LARGE) for key in keys])
        end, pause = time.monotonic() + SILENT_SECONDS, threading.Event()
        while time.monotonic() < end:
            peak = max(peak, process.memory_info().rss)
            pause.wait(0.1)
        return (peak - before) / 2**20, (process.memory_info().rss - before) / 2**20


def replay(stack: RunningStack, events: int) -> int:
    """Read `events` events from the start in one connection; returns their bytes."""
    received, size, rest = 0, 0, b""
    with connect(stack, "0-0") as client:
        while received < events:
            data = rest + client.recv(1 << 18)
            if len(data) == len(rest):
                raise SystemExit("the connection ended before the last event")
            size += len(data) - len(rest)
            received += data.count(b"\nid: ")
            rest = data[-4:]
    return size


async def consume(url: str, events: int) -> int:
    """Read the same messages with ordered consumers, one stream after the other."""
    client = await nats.connect(url)
    received, size, done = 0, 0, asyncio.Event()

    async def take(msg: Msg) -> None:
        nonlocal received, size
        received, size = received + 1, size + len(msg.data)
        if received == events:
            done.set()

    for stream, subject in ((REQUESTS, ALL_REQUESTS), (VIDEOS, ALL_VIDEOS)):
        await client.jetstream().subscribe(subject, stream=stream, cb=take, ordered_consumer=True)
    await done.wait()
    await client.close()
    return size


def _row(name: str, events: int, size: int, begun: float) -> None:
    seconds = time.perf_counter() - begun
    print(f"{name:<44} {events / seconds:>9,.0f} {size / seconds / 2**20:>9.1f}", flush=True)


def _open_streams(port: int) -> int:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"{OPEN_FEEDS.name} "):
                return int(float(line.split()[1]))
    raise SystemExit("the metric of open event streams is gone")


def measure_idle(stack: RunningStack, clients: int) -> None:
    """Print what clients cost that read, while nothing happens, and when their places are free."""
    processes = [
        psutil.Process(stack.worker_pid("status")),
        psutil.Process(stack.running["nats"].pid),
    ]

    def percent() -> list[float]:
        before = [sum(process.cpu_times()[:2]) for process in processes]
        begun = time.monotonic()
        threading.Event().wait(IDLE_SECONDS)
        passed = time.monotonic() - begun
        return [
            100 * (sum(process.cpu_times()[:2]) - used) / passed
            for process, used in zip(processes, before, strict=True)
        ]

    def print_row(name: str) -> None:
        memory = processes[0].memory_info().rss / 2**20
        row = f"{name:<44} {memory:>9.0f} " + " ".join(f"{used:>9.1f}" for used in percent())
        print(row, flush=True)

    print(f"{'nothing happens':<44} {'MiB':>9} {'status %':>9} {'NATS %':>9}")
    print_row("no client (baseline)")
    with ExitStack() as opened:
        for _ in range(clients):
            opened.enter_context(connect(stack))
        print_row(f"{clients} clients")
    begun, port = time.monotonic(), stack.stack.ports["status"]
    wait_until(lambda: _open_streams(port) == 0, seconds=60, what="all places are free")
    print(f"All places are free {time.monotonic() - begun:.2f} s after they have gone\n")


def measure_replays(stack: RunningStack, videos: int, clients: int) -> None:
    """Fill the streams, and print how fast everything is read."""
    keys = [VideoKey("default", f"video-{n}") for n in range(videos)]
    made = [message(key, EventName.REQUESTED, {"prompt": "a red circle"}) for key in keys]
    for key in keys:
        data = completed(started(key)).model_dump(mode="json")
        made.append(message(key, EventName.COMPLETED, data))
    publish_all(stack.nats_url, made)
    print(f"{'replay of ' + format(len(made), ',') + ' events':<44} {'events/s':>9} {'MiB/s':>9}")
    begun = time.perf_counter()
    _row(
        "a bare ordered consumer (baseline)",
        len(made),
        asyncio.run(consume(stack.nats_url, len(made))),
        begun,
    )
    begun = time.perf_counter()
    _row("one client", len(made), replay(stack, len(made)), begun)
    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        sizes = list(pool.map(lambda _: replay(stack, len(made)), range(clients)))
    _row(f"{clients} clients, together", clients * len(made), sum(sizes), begun)


def measure_memory(stack: RunningStack, readers: list[int]) -> None:
    """Print what clients that do not read cost."""
    print(
        f"\n{'MiB, for ' + str(LARGE_VIDEOS) + ' videos of 40 kB':<44} {'at most':>9} {'after':>9}"
    )
    peak, after = memory_of(stack, "listed", 0)
    print(f"{'the list alone (baseline)':<44} {peak:>9.0f} {after:>9.0f}", flush=True)
    for number in readers:
        grown, kept = memory_of(stack, f"told-{number}", number)
        print(
            f"{f'beside it, {number} clients that do not read':<44} {grown - peak:>9.0f} "
            f"{kept - after:>9.0f}   target: under {MEMORY_TARGET}",
            flush=True,
        )


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--videos", type=int, default=10_000, help="videos to replay")
    parser.add_argument("--clients", type=int, default=10, help="clients that replay together")
    parser.add_argument("--readers", type=int, nargs="+", default=[30, 100], help="silent clients")
    parser.add_argument("--idle", type=int, default=MAX_FEEDS, help="clients while nothing happens")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stack = RunningStack(Path(folder))
        try:
            stack.start_servers()
            stack.start("status")
            measure_idle(stack, options.idle)
            measure_replays(stack, options.videos, options.clients)
            measure_memory(stack, options.readers)
        finally:
            stack.close()


if __name__ == "__main__":
    main()
