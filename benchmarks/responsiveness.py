"""How fast the local stack starts, and how fast an idle system starts a video.

`python -m benchmarks.responsiveness` starts its own stack on free ports and prints a table. The
baseline is a read-only request through the gateway on the same machine, which makes results
comparable between machines.
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import nats
import requests
from nats.aio.client import Client
from nats.aio.msg import Msg

from local.ports import free_settings

ROOT: Final = Path(__file__).parents[1]
START_TARGET: Final = 30.0
STARTED_TARGET: Final = 0.150


class EventTimes:
    """When each event of each video arrived, from a plain NATS subscription."""

    def __init__(self, url: str) -> None:
        """Subscribe to the events of all videos, at the NATS server at `url`."""
        self._times: dict[tuple[str, str], float] = {}
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._client = asyncio.run_coroutine_threadsafe(self._subscribe(url), self._loop).result(10)

    async def _subscribe(self, url: str) -> Client:
        async def receive(msg: Msg) -> None:
            _, _, _, video_id, event = msg.subject.split(".")
            with self._changed:
                self._times[video_id, event] = time.perf_counter()
                self._changed.notify_all()

        client = await nats.connect(url)
        await client.subscribe("kinora.videos.*.*.*", cb=receive)
        await client.flush()
        return client

    def wait(self, video_id: str, event: str) -> float:
        """Wait for `event` of the video; returns `time.perf_counter()` at its arrival."""
        with self._changed:
            if not self._changed.wait_for(lambda: (video_id, event) in self._times, timeout=60):
                raise TimeoutError(f"{video_id}: no {event} event")
            return self._times[video_id, event]

    def close(self) -> None:
        """Close the subscription."""
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(10)


@contextmanager
def running_stack(
    folder: Path, changes: Mapping[str, str] | None = None, root: Path = ROOT
) -> Iterator[tuple[str, str, float]]:
    """Run `python -m local` on free ports; yields its URL, its NATS URL and its startup seconds.

    `changes` are environment variables; `root` is the checkout.
    """
    settings = free_settings()
    environ = {**os.environ, **settings, "KINORA_DATA": str(folder), **(changes or {})}
    begun = time.perf_counter()
    stack = subprocess.Popen(
        [sys.executable, "-m", "local"], cwd=root, env=environ, stdout=subprocess.PIPE, text=True
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


def measure_started(url: str, events: EventTimes, videos: int) -> tuple[list[float], list[float]]:
    """Seconds from POST to `started` for one video at a time, and for a GET before each."""
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
        started.append(events.wait(video_id, "started") - begun)
        events.wait(video_id, "completed")
    return started, reads


def compare(other: Path, videos: int) -> None:
    """Print the time from POST to `started` here and in another checkout, in turns."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(Path(folder) / "here") as here,
        running_stack(Path(folder) / "there", root=other) as there,
    ):
        stacks = {"here": here, f"{other.name}": there}
        events = {name: EventTimes(nats_url) for name, (_, nats_url, _) in stacks.items()}
        times: dict[str, list[float]] = {name: [] for name in stacks}
        for _ in range(videos):
            for name, (url, _, _) in stacks.items():
                times[name] += measure_started(url, events[name], 1)[0]
        for each in events.values():
            each.close()
    print(f"{'POST to `started`, milliseconds':<34} {'min':>7} {'median':>7} {'max':>7}")
    for name, seconds in times.items():
        # The first ones wait for the activator's probe.
        print(_row(name, seconds[3:]))


def _row(name: str, values: list[float], target: float | None = None) -> str:
    low, middle, high = (f"{1000 * f(values):7.0f}" for f in (min, statistics.median, max))
    shown = "" if target is None else f"   target: under {1000 * target:.0f}"
    return f"{name:<34} {low} {middle} {high}{shown}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--starts", type=int, default=3, help="starts of the stack")
    parser.add_argument("--videos", type=int, default=20, help="videos, one after the other")
    parser.add_argument("--against", type=Path, help="a checkout to compare with, in turns")
    options = parser.parse_args()
    if options.against:
        compare(options.against, options.videos)
        return
    starts: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.starts):
            # Each is a first start with an empty data folder, but with packages installed.
            with running_stack(Path(folder) / str(number)) as (url, nats_url, seconds):
                starts.append(seconds)
                if number + 1 == options.starts:
                    events = EventTimes(nats_url)
                    times = measure_started(url, events, options.videos)
                    events.close()
    print(f"{'milliseconds':<34} {'min':>7} {'median':>7} {'max':>7}")
    print(_row("make run to ready", starts, START_TARGET))
    print(_row("GET of a list through the gateway", times[1]))
    print(_row("POST to `started`, idle system", times[0], STARTED_TARGET))


if __name__ == "__main__":
    main()
