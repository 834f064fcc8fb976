"""How fast `status` lists and reads videos: 100,000 in real streams, with the real app.

`python -m benchmarks.lists` starts a NATS server, fills both streams, and queries a `status` app in
this process through Flask's test client. The times include the function and its calls to NATS, but
no HTTP server. Baselines in the same run: a bare JetStream direct get for single reads, and a bare
SQLite table for the newest page.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import nats
import psutil
from flask.testing import FlaskClient

from functions.shared.config import Settings
from functions.shared.streams.jetstream import JetStream
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.timestamps import DAY_SECONDS, NANOSECONDS, format_rfc3339
from functions.shared.video.profiles import load_profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest
from functions.status.app import create_app
from functions.status.listing.table import VideoTable
from tests.harness import RunningStack

ACCOUNT: Final = "default"
PAGE_TARGET: Final = 10.0
READ_TARGET: Final = 5.0
# Publishes in flight.
WINDOW: Final = 2000
# The newest 2 % of the videos are queued; 5 % of the others failed, the rest completed.
QUEUED: Final = 0.02
FAILED: Final = 0.05
# The videos were created over this period, which is shorter than `MAX_AGE_DAYS`.
DAYS: Final = 27
PERIOD: Final = DAYS * DAY_SECONDS * NANOSECONDS
TIMINGS: Final = {"encoding": 0.1, "denoising": 1.0, "decoding": 0.5, "saving": 0.1}


class Videos:
    """Generates the events that fill the streams, from a fixed seed."""

    def __init__(self, number: int) -> None:
        """Prepare `number` videos."""
        self.random = random.Random(1)  # noqa: S311 - reproducible content
        self.words = [f"w{self.random.getrandbits(20):05x}" for _ in range(3000)]
        self.number = number
        self.begun = time.time_ns() - PERIOD

    def prompt(self, n: int) -> str:
        """Fifteen random words; one prompt in 20,000 also contains "needle"."""
        words = self.random.choices(self.words, k=15)
        return " ".join([*words, "needle"] if n % 20_000 == 77 else words)

    def messages(self, n: int) -> list[tuple[str, dict[str, Any]]]:
        """The subjects and events of video `n`: its request, and its final event if any."""
        key = VideoKey(ACCOUNT, f"video_{n:06d}")
        video_request = VideoRequest(
            prompt=self.prompt(n), metadata={"team": "abcd"[n % 4], "order": str(n)}
        )
        request = ResolvedRequest.resolve(
            video_request, load_profile("demo"), key.account, key.video_id
        )
        resolved = request.model_dump(exclude_none=True)
        found = [(key.request_subject, _event("requested", key, resolved))]
        if n >= self.number * (1 - QUEUED):
            return found
        name = "failed" if self.random.random() < FAILED else "completed"
        created = format_rfc3339(self.begun + n * PERIOD // self.number)
        data = {"created_at": created, "request": resolved, "attempt": 1, "worker": "w1"}
        if name == "failed":
            data["error"] = {"code": "x", "message": "y"}
        else:
            data["output"] = {
                "prefix": f"{key.object_prefix}1-x/",
                "bytes": 3,
                "sha256": "ab" * 32,
                "width": 96,
                "height": 64,
                "frames": 25,
            }
            data |= {"timings": TIMINGS, "model_revision": "r"}
        return [*found, (key.event_subject(name), _event(name, key, data))]


def _event(name: str, key: VideoKey, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{key.video_id}-{name}",
        "source": "/benchmark",
        "type": f"dev.kinora.video.{name}.v1",
        "subject": key.video_id,
        "data": data,
    }


async def fill(url: str, videos: Videos) -> None:
    """Publish all events, `WINDOW` at a time."""
    client = await nats.connect(url)
    stream = client.jetstream(publish_async_max_pending=2 * WINDOW)
    acks = []
    for n in range(videos.number):
        for subject, event in videos.messages(n):
            acks.append(await stream.publish_async(subject, json.dumps(event).encode()))
        if len(acks) >= WINDOW:
            await asyncio.gather(*acks)
            acks.clear()
    await asyncio.gather(*acks)
    await client.close()


def _time(times: int, query: Callable[[], object]) -> tuple[float, float]:
    """The median and the 95th percentile of `times` runs of `query`, in milliseconds."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        query()
        taken.append(1000 * (time.perf_counter() - begun))
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


def _row(name: str, measured: tuple[float, float], target: float | None = None) -> None:
    shown = "" if target is None else f"   target: under {target:g}"
    print(f"{name:<54} {measured[0]:8.2f} {measured[1]:8.2f}{shown}", flush=True)


def _page(client: FlaskClient, query: str) -> Callable[[], object]:
    def get() -> object:
        response = client.get(f"/v1/videos?{query}")
        if response.status_code != 200:
            raise SystemExit(response.text)
        return response

    return get


def measure(client: FlaskClient, bus: JetStream, number: int, times: int) -> None:
    """Run all queries and print the table."""
    oldest = int(time.time()) - (DAYS - 1) * DAY_SECONDS
    rng = random.Random(2)  # noqa: S311 - as above
    print(f"{'milliseconds':<54} {'median':>8} {'95 %':>8}")

    def key() -> VideoKey:
        return VideoKey(ACCOUNT, f"video_{rng.randrange(int(number * 0.9)):06d}")

    _row(
        "bare direct get (baseline)",
        _time(times, lambda: bus.get_last_message(VIDEOS, key().events_filter, leader=False)),
    )
    _row(
        "a single read, completed",
        _time(times, lambda: client.get(f"/v1/videos/{key().video_id}")),
        READ_TARGET,
    )
    queued = f"/v1/videos/video_{number - 1:06d}"
    _row("a single read, last of the queue", _time(times, lambda: client.get(queued)), READ_TARGET)
    _row("bare SQLite, newest 21 rows (baseline)", _time(times, _bare(number)))
    for name, query in {
        "newest page": "",
        "newest page of 100": "limit=100",
        "page from the middle": f"after=video_{number // 2:06d}",
        "status=completed": "status=completed",
        "status=failed,in_progress": "status=failed,in_progress",
        "metadata[team]=a": "metadata[team]=a",
        "metadata[team]=a, metadata[order]=4 (one video)": "metadata[team]=a&metadata[order]=4",
        "created_before (the oldest of 27 days)": f"created_before={oldest}",
        "q in few": "q=needle",
        "q in most": "q=%20w1",
        "q nowhere": "q=nowhere",
        "q nowhere, two characters": "q=zz",
        "all of them": "status=completed&metadata[team]=b&q=needle&created_after=1",
    }.items():
        _row(name, _time(times, _page(client, query)), PAGE_TARGET)


def _bare(number: int) -> Callable[[], object]:
    """The newest page of a table that has only the sort key and an object of typical length."""
    table = VideoTable(":memory:")
    table.db.execute("CREATE TABLE bare (created INTEGER PRIMARY KEY, object TEXT)")
    text = "x" * 1200
    table.db.execute("BEGIN")
    table.db.executemany("INSERT INTO bare VALUES (?, ?)", ((n, text) for n in range(number)))
    table.db.execute("COMMIT")
    query = "SELECT * FROM bare ORDER BY created DESC LIMIT 21"
    return lambda: table.db.execute(query).fetchall()


def main() -> None:
    """Fill the streams, let the app replay them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=100, help="repetitions of each query")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stack = RunningStack(Path(folder))
        try:
            stack.start_servers()
            begun = time.monotonic()
            asyncio.run(fill(stack.nats_url, Videos(options.videos)))
            print(f"{options.videos} videos filled in {time.monotonic() - begun:.0f} s", flush=True)
            _measure_app(stack, options.videos, options.times)
        finally:
            stack.close()


def _measure_app(stack: RunningStack, number: int, times: int) -> None:
    me = psutil.Process()
    before, begun = me.memory_info().rss, time.monotonic()
    os.environ |= {
        "AWS_ACCESS_KEY_ID": stack.credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": stack.credentials.secret_key,
    }
    bus = JetStream(stack.nats_url)
    s3 = f"http://127.0.0.1:{stack.stack.ports['s3']}"
    settings = Settings(
        nats_url=stack.nats_url, s3_endpoint=s3, account_requests_per_second=1_000_000
    )
    client = create_app(settings, bus).test_client()
    pause = threading.Event()
    while client.get("/readyz").status_code != 200:
        pause.wait(0.1)
    grown = (me.memory_info().rss - before) >> 20
    print(f"replayed in {time.monotonic() - begun:.1f} s, memory grew by {grown} MiB", flush=True)
    measure(client, bus, number, times)
    bus.close()


if __name__ == "__main__":
    main()
