"""How far `eta_seconds` is from what happens: mixed videos on a local stack of its own.

`python -m benchmarks.eta` makes videos of several sizes, lengths and numbers of steps, in bursts,
and reads each estimate just after the request was accepted. The baseline is what a page without a
model of costs could say: the mean of all videos so far, times the rounds until it is this one's
turn.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests

from benchmarks.responsiveness import running_stack

SLOTS: Final = 2  # what the local stack has
SIZES: Final = ("64x64", "96x64", "128x80", "160x96")
FRAMES: Final = (13, 25, 37, 49)
STEPS: Final = (8, 16, 32, 64)
GUIDANCE: Final = (1.0, 4.5, 4.5)
LEARNING: Final = 8


@dataclass
class Estimate:
    """What was said of a video just after it was asked for, and what was true. In seconds."""

    video_id: str
    asked: float
    position: int
    eta: float | None
    baseline: float | None
    actual: float = 0.0


class Client:
    """Makes videos and waits for them."""

    def __init__(self, url: str, seed: int) -> None:
        """Use the stack at `url`."""
        self._url = url
        self._session = requests.Session()
        self._random = random.Random(seed)  # noqa: S311 - a mix that can be had again
        self._taken: list[float] = []

    def ask(self) -> Estimate:
        """Ask for a video of the mix, and read its estimate."""
        body = {
            "prompt": "a red circle moving right",
            "size": self._random.choice(SIZES),
            "num_frames": self._random.choice(FRAMES),
            "num_inference_steps": self._random.choice(STEPS),
            "guidance_scale": self._random.choice(GUIDANCE),
        }
        answer = self._session.post(f"{self._url}/v1/videos", json=body, timeout=10)
        answer.raise_for_status()
        asked = time.monotonic()
        video = self._get(answer.json()["id"])
        # One that runs already has those before it behind it.
        position = (video["queue_position"] or 0) + SLOTS - 1
        rounds = 1 + max(0, position) / SLOTS
        mean = statistics.mean(self._taken) if self._taken else None
        baseline = None if mean is None else mean * rounds
        return Estimate(video["id"], asked, position, video["eta_seconds"], baseline)

    def _get(self, video_id: str) -> dict[str, Any]:
        answer = self._session.get(f"{self._url}/v1/videos/{video_id}", timeout=10)
        answer.raise_for_status()
        video: dict[str, Any] = answer.json()
        return video

    def wait(self, estimates: list[Estimate]) -> None:
        """Wait until all are done, and note when each was."""
        waiting, pause = {estimate.video_id: estimate for estimate in estimates}, threading.Event()
        while waiting:
            pause.wait(0.05)
            for video_id in list(waiting):
                video = self._get(video_id)
                if video["status"] in {"queued", "in_progress"}:
                    continue
                if video["status"] != "completed":
                    raise SystemExit(f"{video_id} failed: {video['error']}")
                estimate = waiting.pop(video_id)
                estimate.actual = time.monotonic() - estimate.asked
                self._taken.append(sum(video["timings"].values()))


def _row(name: str, pairs: list[tuple[float, float]]) -> str:
    absolute = statistics.median(abs(said - true) for said, true in pairs)
    relative = statistics.median(abs(said - true) / true for said, true in pairs)
    ratio = statistics.median(said / true for said, true in pairs)
    return f"{name:<44} {absolute:10.2f} {100 * relative:10.0f} {ratio:10.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bursts", type=int, default=5, help="bursts of requests")
    parser.add_argument("--videos", type=int, default=10, help="requests in a burst")
    parser.add_argument("--seed", type=int, default=1, help="of the mix")
    options = parser.parse_args()
    made: list[Estimate] = []
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as (url, _, _):
        client = Client(url, options.seed)
        client.wait([client.ask() for _ in range(LEARNING)])
        for _ in range(options.bursts):
            burst = [client.ask() for _ in range(options.videos)]
            client.wait(burst)
            made += burst
    known = [e for e in made if e.eta is not None]
    print(f"{len(made)} videos, {len(made) - len(known)} without an estimate")
    print(f"{'said just after the request':<44} {'median s':>10} {'median %':>10} {'ratio':>10}")
    print(_row("eta_seconds", [(e.eta, e.actual) for e in known if e.eta is not None]))
    print(_row("mean so far x rounds (baseline)", [(e.baseline or 0, e.actual) for e in known]))
    took = statistics.median(e.actual for e in made)
    print(f"{'from request to file, median':<44} {took:10.2f}")


if __name__ == "__main__":
    main()
