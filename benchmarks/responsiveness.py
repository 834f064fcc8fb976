"""How fast the local stack starts, and how fast an idle system begins with a video.

`python -m benchmarks.responsiveness` starts a stack of its own on free ports and prints a table.
The baseline is the same machine's round trip through the gateway to a route that only reads, so
that what is printed can be compared between machines.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import nats
import requests
from nats.aio.client import Client
from nats.aio.msg import Msg

from local.ports import free_settings

ROOT: Final = Path(__file__).parents[1]
START_AIM: Final = 30.0
STARTED_AIM: Final = 0.150


class Arrivals:
    """When what was said of which video: a plain subscription, beside everything else."""

    def __init__(self, url: str) -> None:
        """Listen from now on."""
        self._times: dict[tuple[str, str], float] = {}
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._client = asyncio.run_coroutine_threadsafe(self._listen(url), self._loop).result(10)

    async def _listen(self, url: str) -> Client:
        async def arrive(msg: Msg) -> None:
            _, _, _, video_id, event = msg.subject.split(".")
            with self._changed:
                self._times[video_id, event] = time.perf_counter()
                self._changed.notify_all()

        client = await nats.connect(url)
        await client.subscribe("kinora.videos.*.*.*", cb=arrive)
        await client.flush()
        return client

    def wait(self, video_id: str, event: str) -> float:
        """The time at which `event` was said of the video."""
        with self._changed:
            if not self._changed.wait_for(lambda: (video_id, event) in self._times, timeout=60):
                raise TimeoutError(f"{video_id} is not {event}")
            return self._times[video_id, event]

    def close(self) -> None:
        """Listen no longer."""
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(10)


@contextmanager
def running_stack(folder: Path) -> Iterator[tuple[str, str, float]]:
    """`python -m local` on free ports: its URL, its NATS server's, and how long the start took."""
    settings = free_settings()
    environ = os.environ | settings | {"KINORA_DATA": str(folder)}
    begun = time.perf_counter()
    stack = subprocess.Popen(
        [sys.executable, "-m", "local"], cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
    )
    try:
        assert stack.stdout is not None
        line = next((text for text in stack.stdout if " ready: " in text), None)
        if line is None:
            raise SystemExit("the stack did not start")
        seconds = time.perf_counter() - begun
        yield line.split()[-1], f"nats://127.0.0.1:{settings['NATS_PORT']}", seconds
    finally:
        stack.send_signal(signal.SIGINT)
        stack.communicate(timeout=60)


def measure_started(url: str, arrivals: Arrivals, videos: int) -> tuple[list[float], list[float]]:
    """Seconds from POST to `started`, one video after the other, and of a GET before each."""
    session = requests.Session()
    started, reads = [], []
    for _ in range(videos):
        begun = time.perf_counter()
        session.get(f"{url}/v1/videos?limit=1", timeout=10).raise_for_status()
        reads.append(time.perf_counter() - begun)
        body = json.dumps({"prompt": uuid.uuid4().hex, "num_frames": 7, "num_inference_steps": 2})
        begun = time.perf_counter()
        answer = session.post(
            f"{url}/v1/videos",
            data=body,
            headers={"content-type": "application/json"},
            timeout=10,
        )
        answer.raise_for_status()
        video_id = answer.json()["id"]
        started.append(arrivals.wait(video_id, "started") - begun)
        arrivals.wait(video_id, "completed")
    return started, reads


def _row(name: str, values: list[float], aim: float | None = None) -> str:
    low, middle, high = (f"{1000 * f(values):7.0f}" for f in (min, statistics.median, max))
    shown = "" if aim is None else f"   aim: under {1000 * aim:.0f}"
    return f"{name:<34} {low} {middle} {high}{shown}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--starts", type=int, default=3, help="starts of the stack")
    parser.add_argument("--videos", type=int, default=20, help="videos, one after the other")
    options = parser.parse_args()
    starts: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.starts):
            # Each a first start, with an empty data folder; packages are installed already.
            with running_stack(Path(folder) / str(number)) as (url, nats_url, seconds):
                starts.append(seconds)
                if number + 1 == options.starts:
                    arrivals = Arrivals(nats_url)
                    times = measure_started(url, arrivals, options.videos)
                    arrivals.close()
    print(f"{'milliseconds':<34} {'min':>7} {'median':>7} {'max':>7}")
    print(_row("make run to ready", starts, START_AIM))
    print(_row("GET of a list through the gateway", times[1]))
    print(_row("POST to `started`, idle system", times[0], STARTED_AIM))


if __name__ == "__main__":
    main()
