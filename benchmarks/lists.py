"""How `status` lists and reads many videos: real streams, and the real app in a process of its own.

`python -m benchmarks.lists` starts a NATS server for each number of `--videos`, fills both streams,
and queries a `status` app through Flask's test client. The times include the function and its calls
to NATS, but no HTTP server. Baselines in the same run: a bare ordered consumer for the replay, a
bare JetStream direct get for single reads, and for lists a bare SQLite table in memory.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import psutil
from flask.testing import FlaskClient

from benchmarks import list_curves
from benchmarks.list_streams import ACCOUNT, Videos, fill, start, video_key
from functions.shared.config import Settings
from functions.shared.streams.jetstream import JetStream
from functions.shared.subjects import REQUESTS, VIDEOS
from functions.status.app import create_app
from tests.harness import RunningStack

NUMBERS: Final = (50_000, 200_000, 1_000_000)
# Milliseconds of processor time in which 99 of 100 queries are answered.
TARGET: Final = 20.0
# Of a replay, by the number of videos: seconds, and MiB of memory.
REPLAY_TARGETS: Final = {200_000: (10, 300), 1_000_000: (45, 800)}
SCAN: Final = "a scan of all prompts in bare SQLite for `zz` (baseline)"
SHORT: Final = "q nowhere, two characters"


@dataclass
class Result:
    """What was measured with one number of videos.

    Attributes:
        seconds: of the replay: processor time, and elapsed.
        baseline_seconds: the same of a bare consumer.
        messages: in both streams.
        mebibytes: of resident memory at the end, and at most.
        disk: of the index, in MiB.
        queries: milliseconds by name: processor time of the thread that answers, median and 99th
            percentile, and elapsed time, median.
    """

    seconds: tuple[float, float] = (0.0, 0.0)
    baseline_seconds: tuple[float, float] = (0.0, 0.0)
    messages: int = 0
    mebibytes: tuple[float, float] = (0.0, 0.0)
    disk: float = 0.0
    queries: dict[str, tuple[float, float, float]] = field(default_factory=dict)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    cpu, begun = time.process_time(), time.monotonic()
    work()
    return time.process_time() - cpu, time.monotonic() - begun


def _query(times: int, query: Callable[[], object]) -> tuple[float, float, float]:
    used, taken = [], []
    for _ in range(times):
        cpu, begun = time.thread_time(), time.perf_counter()
        query()
        used.append(1000 * (time.thread_time() - cpu))
        taken.append(1000 * (time.perf_counter() - begun))
    return statistics.median(used), statistics.quantiles(used, n=100)[-1], statistics.median(taken)


def _consume(url: str) -> None:
    """Read both streams, and do nothing with the messages."""
    bus = JetStream(url)
    for stream in (VIDEOS, REQUESTS):
        ended = threading.Event()
        stop = bus.follow(stream, lambda _: None, ended.set, lambda: None)
        ended.wait()
        stop()
    bus.close()


def _get(client: FlaskClient, query: str) -> None:
    response = client.get(f"/v1/videos?{query}")
    if response.status_code != 200:
        raise SystemExit(response.text)


def _queries(
    client: FlaskClient, bus: JetStream, number: int
) -> Iterator[tuple[str, Callable[[], object]]]:
    rng = random.Random(2)  # noqa: S311 - reproducible

    def key() -> str:
        return video_key(rng.randrange(int(number * 0.9))).video_id

    def direct_get() -> object:
        subject = f"kinora.videos.{ACCOUNT}.{key()}.*"
        return bus.get_last_message(VIDEOS, subject, leader=False)

    yield "a bare direct get (baseline)", direct_get
    yield "a single read, completed", lambda: client.get(f"/v1/videos/{key()}")
    queued = f"/v1/videos/{video_key(number - 1).video_id}"
    yield "a single read, last of the queue", lambda: client.get(queued)
    (first,) = client.get("/v1/videos?order=asc&limit=1").get_json()["data"]
    for name, query in {
        "newest page": "",
        "newest page of 100": "limit=100",
        "status=completed": "status=completed",
        "status=failed,in_progress": "status=failed,in_progress",
        "metadata[team]=a": "metadata[team]=a",
        "metadata, two pairs (one video)": "metadata[team]=a&metadata[order]=4",
        "created_before (the oldest)": f"created_before={first['created_at'] + 1}",
        "q in few": "q=needle",
        "q in most": "q=%20w1",
        "q in most, two characters": "q=w1",
        "q nowhere": "q=nowhere",
        SHORT: "q=zz",
        "status, pair, time and q": "status=completed&metadata[team]=b&q=needle&created_after=1",
    }.items():
        yield name, partial(_get, client, query)
    # Each time another page, of videos that nobody has read before.
    yield "page from anywhere", lambda: _get(client, f"after={key()}")
    yield "page of 100 from anywhere", lambda: _get(client, f"limit=100&after={key()}")


def _baselines(number: int) -> Iterator[tuple[str, Callable[[], object]]]:
    db, videos = sqlite3.connect(":memory:"), Videos(number)
    db.execute("CREATE TABLE bare (created INTEGER PRIMARY KEY, prompt TEXT)")
    rows = ((n, videos.prompt(n)) for n in range(number))
    db.executemany("INSERT INTO bare VALUES (?, ?)", rows)
    newest = "SELECT * FROM bare ORDER BY created DESC LIMIT 21"
    yield "the newest 21 rows in bare SQLite (baseline)", lambda: db.execute(newest).fetchall()
    scan = "SELECT * FROM bare WHERE instr(prompt, 'zz') ORDER BY created DESC LIMIT 21"
    yield SCAN, lambda: db.execute(scan).fetchall()


def _measure_baselines(url: str, number: int, times: int) -> Result:
    result = Result(baseline_seconds=_timed(lambda: _consume(url)))
    for name, query in _baselines(number):
        result.queries[name] = _query(min(times, 5) if name == SCAN else times, query)
    return result


def _measure_app(settings: Settings, number: int, times: int) -> Result:
    bus = JetStream(settings.nats_url)
    result = Result()

    def ready() -> FlaskClient:
        client = create_app(settings, bus).test_client()
        pause = threading.Event()
        while client.get("/readyz").status_code != 200:
            pause.wait(0.05)
        return client

    cpu, begun = time.process_time(), time.monotonic()
    client = ready()
    # As `functions/status/gunicorn.conf.py` does.
    gc.freeze()
    result.seconds = time.process_time() - cpu, time.monotonic() - begun
    result.messages = sum(bus.message_count(stream) for stream in (REQUESTS, VIDEOS))
    files = Path(tempfile.gettempdir()).rglob("index.sqlite*")
    result.disk = sum(file.stat().st_size for file in files) / 2**20
    for name, query in _queries(client, bus, number):
        result.queries[name] = _query(times, query)
    # After the first comparison with the streams, which is two seconds after the replay.
    most = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    result.mebibytes = psutil.Process().memory_info().rss / 2**20, most / 2**10
    bus.close()
    return result


def _in_process(folder: Path, measure: Callable[..., Result], *arguments: object) -> Result:
    """Run `measure` in a process of its own, whose temporary files are in `folder`."""
    folder.mkdir()
    os.environ["TMPDIR"] = str(folder)
    with multiprocessing.get_context("spawn").Pool(1, _write_log, [folder / "log"]) as pool:
        return pool.apply(measure, arguments)


def _write_log(path: Path) -> None:
    """Let this process write its log, a line for each query, to a file, as functions do."""
    sys.stderr = path.open("w")


def _print(number: int, result: Result, baseline: Result) -> None:
    per_message = 1e6 / result.messages
    print(f"\n{number:,} videos, {result.messages:,} messages")
    seconds, most = REPLAY_TARGETS.get(number, (0, 0))
    target = f"   target: {seconds} s, {most} MiB" if seconds else ""
    for name, (cpu, elapsed) in {
        "a bare consumer (baseline)": baseline.baseline_seconds,
        "until ready": result.seconds,
    }.items():
        print(
            f"{name:<32} {cpu:7.1f} s of processor time, {cpu * per_message:6.1f} us a message,",
            end="",
        )
        print(f" {elapsed:7.1f} s elapsed{target if name == 'until ready' else ''}")
    print(f"memory {result.mebibytes[0]:.0f} MiB, at most {result.mebibytes[1]:.0f};", end="")
    print(f" {result.disk:.0f} MiB on disk")
    print(f"{'milliseconds':<58} {'CPU':>8} {'99 %':>8} {'elapsed':>8}")
    for name, (cpu, p99, elapsed) in (baseline.queries | result.queries).items():
        missed = "" if "baseline" in name or p99 <= TARGET else f"   target: {TARGET:g}, missed"
        print(f"{name:<58} {cpu:8.2f} {p99:8.2f} {elapsed:8.2f}{missed}", flush=True)


def _measure(folder: Path, number: int, times: int) -> tuple[Result, Result]:
    stack = start(folder / "stack")
    try:
        begun = time.monotonic()
        fill(stack.nats_url, Videos(number))
        print(f"{number:,} videos filled in {time.monotonic() - begun:.0f} s", flush=True)
        result = _in_process(folder / "app", _measure_app, _settings(stack), number, times)
        baseline = _in_process(
            folder / "baseline", _measure_baselines, stack.nats_url, number, times
        )
    finally:
        stack.close()
    return result, baseline


def _settings(stack: RunningStack) -> Settings:
    os.environ |= {
        "AWS_ACCESS_KEY_ID": stack.credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": stack.credentials.secret_key,
    }
    s3 = f"http://127.0.0.1:{stack.stack.ports['s3']}"
    return Settings(nats_url=stack.nats_url, s3_endpoint=s3, account_requests_per_second=1_000_000)


def main() -> None:
    """Measure with each number of videos, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--videos", type=int, nargs="+", default=NUMBERS)
    parser.add_argument("--times", type=int, default=200, help="repetitions of each query")
    parser.add_argument("--svg", type=Path, help="draw how the figures grow")
    options = parser.parse_args()
    points = []
    for number in options.videos:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "stack").mkdir()
            result, baseline = _measure(Path(folder), number, options.times)
        _print(number, result, baseline)
        points.append(
            list_curves.Point(
                number,
                result.seconds[0],
                baseline.baseline_seconds[0],
                result.mebibytes[1],
                result.queries[SHORT][0],
                baseline.queries[SCAN][0],
            )
        )
    if options.svg:
        options.svg.write_text(list_curves.drawing(points))


if __name__ == "__main__":
    main()
