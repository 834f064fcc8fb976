"""The accuracy of `eta_seconds` for mixed videos, on a local stack of its own.

`python -m benchmarks.eta` requests videos of several sizes, lengths and numbers of steps in bursts,
and reads each estimate right after the request was accepted. The baseline needs no cost model: the
mean time of all videos so far, times the rounds until the video's turn is over. With `--accounts`,
the requests come from several accounts, whose first one has three times the weight of the others.
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
from tests.accounts import write_accounts

SLOTS: Final = 2  # replicas of the local stack
SIZES: Final = ("64x64", "96x64", "128x80", "160x96")
FRAMES: Final = (13, 25, 37, 49)
STEPS: Final = (8, 16, 32, 64)
GUIDANCE: Final = (1.0, 4.5, 4.5)
LEARNING: Final = 8


@dataclass
class Estimate:
    """The estimates for a video right after its request, and its actual time, in seconds."""

    account: int
    video_id: str
    requested: float
    position: int
    eta: float | None
    baseline: float | None
    actual: float = 0.0


class Client:
    """Requests videos and waits for them."""

    def __init__(self, url: str, seed: int, keys: list[str]) -> None:
        """Use the stack at `url` with `keys`; `seed` determines the mix of videos."""
        self._url = url
        self._sessions = [requests.Session() for _ in keys]
        for session, key in zip(self._sessions, keys, strict=True):
            session.headers["Authorization"] = f"Bearer {key}"
        self._random = random.Random(seed)  # noqa: S311 - a reproducible mix
        self._taken: list[float] = []

    def request_video(self) -> Estimate:
        """Request a random video of the mix, and read its estimate."""
        body = {
            "prompt": "a red circle moving right",
            "size": self._random.choice(SIZES),
            "num_frames": self._random.choice(FRAMES),
            "num_inference_steps": self._random.choice(STEPS),
            "guidance_scale": self._random.choice(GUIDANCE),
        }
        account = self._random.randrange(len(self._sessions))
        answer = self._sessions[account].post(f"{self._url}/v1/videos", json=body, timeout=30)
        answer.raise_for_status()
        requested = time.monotonic()
        video = self._get(account, answer.json()["id"])
        # A video that already runs has no queue position.
        position = (video["queue_position"] or 0) + SLOTS - 1
        rounds = 1 + max(0, position) / SLOTS
        mean = statistics.mean(self._taken) if self._taken else None
        baseline = None if mean is None else mean * rounds
        return Estimate(account, video["id"], requested, position, video["eta_seconds"], baseline)

    def _get(self, account: int, video_id: str) -> dict[str, Any]:
        answer = self._sessions[account].get(f"{self._url}/v1/videos/{video_id}", timeout=30)
        answer.raise_for_status()
        video: dict[str, Any] = answer.json()
        return video

    def wait(self, estimates: list[Estimate]) -> None:
        """Wait until all videos are completed, and record how long each took."""
        waiting, pause = {estimate.video_id: estimate for estimate in estimates}, threading.Event()
        while waiting:
            pause.wait(0.05)
            for video_id in list(waiting):
                video = self._get(waiting[video_id].account, video_id)
                if video["status"] in {"queued", "in_progress"}:
                    continue
                if video["status"] != "completed":
                    raise SystemExit(f"{video_id} failed: {video['error']}")
                estimate = waiting.pop(video_id)
                estimate.actual = time.monotonic() - estimate.requested
                self._taken.append(sum(video["timings"].values()))


def _row(name: str, pairs: list[tuple[float, float]]) -> str:
    absolute = statistics.median(abs(estimate - actual) for estimate, actual in pairs)
    relative = statistics.median(abs(estimate - actual) / actual for estimate, actual in pairs)
    ratio = statistics.median(estimate / actual for estimate, actual in pairs)
    return f"{name:<44} {absolute:10.2f} {100 * relative:10.0f} {ratio:10.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bursts", type=int, default=5, help="bursts of requests")
    parser.add_argument("--videos", type=int, default=10, help="requests in a burst")
    parser.add_argument("--accounts", type=int, default=1, help="accounts that request videos")
    parser.add_argument("--seed", type=int, default=1, help="seed of the mix")
    options = parser.parse_args()
    estimates: list[Estimate] = []
    keys = [f"{number}" * 43 for number in range(options.accounts)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "accounts"
        parts = {f"a{n}": f"weight = {1 if n else 3}.0" for n in range(options.accounts)}
        owners = {key: f"a{n}" for n, key in enumerate(keys)}
        changes = {"ACCOUNTS_FILE": write_accounts(file, owners, limits=parts)}
        with running_stack(Path(folder) / "stack", changes) as (url, _, _):
            client = Client(url, options.seed, keys)
            client.wait([client.request_video() for _ in range(LEARNING)])
            for _ in range(options.bursts):
                burst = [client.request_video() for _ in range(options.videos)]
                client.wait(burst)
                estimates += burst
    known = [e for e in estimates if e.eta is not None]
    print(f"{len(estimates)} videos, {len(estimates) - len(known)} without an estimate")
    print(f"{'error right after the request':<44} {'median s':>10} {'median %':>10} {'ratio':>10}")
    print(_row("eta_seconds", [(e.eta, e.actual) for e in known if e.eta is not None]))
    print(_row("mean so far x rounds (baseline)", [(e.baseline or 0, e.actual) for e in known]))
    total = statistics.median(e.actual for e in estimates)
    print(f"{'from request to file, median':<44} {total:10.2f}")


if __name__ == "__main__":
    main()
