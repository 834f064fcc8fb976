"""What many slow readers of a large file cost, and what an innocent caller notices of them.

`python -m benchmarks.downloads` starts a stack on free ports. First one caller downloads the file
again and again, in turns through the gateway and from `status` itself, which then streams it: the
processor time of each process. Then `--readers` callers read the file slowly through the gateway,
while another creates, reads and lists at a steady pace; before that it does so alone.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import selectors
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil
import requests

from benchmarks.attack_stage import Stage
from benchmarks.innocent_caller import Experience, call_steadily
from functions.shared.api.thread_share import RETRY_AFTER_SECONDS

FILE_BYTES: Final = 40 << 20
# All readers take their turn in this time, and read as much as their kernel holds for them: some
# 6 kB, so 500 of them get 6 MB/s.
ROUND_SECONDS: Final = 0.5
OPENED_A_SECOND: Final = 50
RECEIVE_BUFFER: Final = 4096
_DOWNLOADS: Final = 10
OPEN_SECONDS: Final = 120


class SlowReaders:
    """Connections that read a little at a time; those that get 503 try again as it advises.

    Attributes:
        received: bytes, of all connections.
        refused: how many 503 there were.
        all_read: set once no connection waits for its response.
    """

    def __init__(self, stage: Stage, count: int) -> None:
        self._stage, self._count = stage, count
        self.received = self.refused = 0
        self.all_read = threading.Event()
        self._stopping = threading.Event()
        self._reading: set[socket.socket] = set()
        # When those that were refused try again.
        self._retries: list[float] = []

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Connect, and read until the block ends."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

    def _connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self._stage.port("gateway")), timeout=30)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        headers = {"Host": "localhost", **self._stage.headers()}
        lines = [f"GET /v1/videos/{self._stage.completed_video}/content HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        client.setblocking(False)
        return client

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            left = self._count
            while not self._stopping.wait(ROUND_SECONDS):
                opened = min(left, int(OPENED_A_SECOND * ROUND_SECONDS))
                left -= opened
                for _ in range(opened):
                    selector.register(self._connect(), selectors.EVENT_READ)
                for key, _ in selector.select(0):
                    self._read_from(selector, key.fileobj)
                due = sum(when <= time.monotonic() for when in self._retries)
                self._retries = sorted(self._retries)[due:]
                for _ in range(due):
                    selector.register(self._connect(), selectors.EVENT_READ)
                if len(self._reading) == self._count:
                    self.all_read.set()
            for key in selector.get_map().values():
                os.close(key.fd)

    def _read_from(self, selector: selectors.BaseSelector, client: Any) -> None:
        data: bytes = client.recv(2 * RECEIVE_BUFFER)
        self.received += len(data)
        if client in self._reading or data.startswith(b"HTTP/1.1 200"):
            self._reading.add(client)
        if data and client in self._reading:
            return
        assert data.startswith(b"HTTP/1.1 503"), data or "closed before its end"
        self.refused += 1
        self._retries.append(time.monotonic() + RETRY_AFTER_SECONDS)
        selector.unregister(client)
        client.close()


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _compare_routes(stage: Stage, processes: dict[str, psutil.Process]) -> None:
    print(f"\nProcessor time of one download of {FILE_BYTES >> 20} MiB, in ms")
    print(f"{'':<26}" + "".join(f"{name:>10}" for name in processes))
    spent = {
        route: dict.fromkeys(processes, 0.0) for route in ("through the gateway", "from status")
    }
    for _ in range(_DOWNLOADS):
        for route, port in (("through the gateway", "gateway"), ("from status", "status")):
            before = {name: _seconds(process) for name, process in processes.items()}
            url = f"http://127.0.0.1:{stage.port(port)}/v1/videos/{stage.completed_video}/content"
            found = requests.get(url, headers=stage.headers(), timeout=60)
            assert len(found.content) == FILE_BYTES, found.status_code
            for name, process in processes.items():
                spent[route][name] += _seconds(process) - before[name]
    for route, seconds in spent.items():
        cells = "".join(f"{1000 * seconds[name] / _DOWNLOADS:>10.1f}" for name in processes)
        print(f"{route:<26}{cells}", flush=True)


def _print_experience(what: str, found: Experience) -> None:
    p50, p99 = (1000 * found.percentile(percent) for percent in (50, 99))
    refused = f"{found.refused.total()}/{len(found.latencies)}"
    print(f"{what:<26}{p50:>10.0f}{p99:>10.0f}{refused:>12}", flush=True)


def measure(folder: Path, readers: int, seconds: float) -> None:
    """Run both parts, and print their tables."""
    stage = Stage(folder)
    context = multiprocessing.get_context("spawn")
    try:
        stage.start()
        stage.complete_a_video()
        stage.enlarge_the_file(FILE_BYTES)
        processes = {
            name: psutil.Process(stage.stack.running[name].pid) for name in ("gateway", "s3")
        } | {"status": psutil.Process(stage.stack.worker_pid("status"))}
        _compare_routes(stage, processes)
        memory = {name: process.memory_info().rss for name, process in processes.items()}
        call = partial(call_steadily, stage.stack.url, stage.innocent_key)
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            newest = pool.submit(call, 1).result().newest
            print(f"\n{'An innocent caller':<26}{'p50 ms':>10}{'p99 ms':>10}{'refused':>12}")
            quiet = pool.submit(call, seconds, newest).result()
            _print_experience("alone", quiet)
            slow, start = SlowReaders(stage, readers), time.monotonic()
            with slow.opened():
                opening = pool.submit(call, seconds, quiet.newest).result()
                _print_experience(f"while {readers} open", opening)
                assert slow.all_read.wait(OPEN_SECONDS), "not all could open"
                opened = time.monotonic() - start
                received, start = slow.received, time.monotonic()
                beside = pool.submit(call, seconds, opening.newest).result()
                _print_experience(f"while {readers} read", beside)
                rate = (slow.received - received) / (time.monotonic() - start) / 2**20
                grown = {
                    name: (process.memory_info().rss - memory[name]) >> 20
                    for name, process in processes.items()
                }
        print(f"\nAll read within {opened:.1f} s, after {slow.refused} x 503; {rate:.1f} MiB/s")
        print("Memory: " + ", ".join(f"{name} {mib:+} MiB" for name, mib in grown.items()))
    finally:
        stage.stack.close()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--readers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=15, help="of each part beside readers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options.readers, options.seconds)


if __name__ == "__main__":
    main()
