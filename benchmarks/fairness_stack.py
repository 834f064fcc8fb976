"""A run of `benchmarks/fairness.py` with two accounts on a real local stack."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import requests

from benchmarks.responsiveness import running_stack
from tests.accounts import write_accounts

VIDEO: Final = {"prompt": "a red circle moving right", "num_inference_steps": 30}


class Caller:
    """One account's client."""

    def __init__(self, url: str, key: str) -> None:
        """Use the stack at `url`."""
        self._url = url
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"

    def create(self) -> dict[str, Any]:
        """Request a video."""
        answer = self._session.post(f"{self._url}/v1/videos", json=VIDEO, timeout=30)
        answer.raise_for_status()
        video: dict[str, Any] = answer.json()
        return self.get(video["id"]) | {"asked": time.time()}

    def get(self, video_id: str) -> dict[str, Any]:
        """Read a video."""
        answer = self._session.get(f"{self._url}/v1/videos/{video_id}", timeout=30)
        answer.raise_for_status()
        video: dict[str, Any] = answer.json()
        return video


def run_on_a_stack(folder: Path, videos: int) -> None:
    """Print shares while both accounts wait, how long the second's first waits, and estimates."""
    keys = {"first": "f" * 43, "second": "s" * 43}
    owners = {key: name for name, key in keys.items()}
    file = write_accounts(folder / "accounts", owners, limits={"first": "weight = 3.0"})
    environ = {"ACCOUNTS_FILE": file}
    with running_stack(folder / "stack", environ) as (url, _, _):
        callers = {name: Caller(url, key) for name, key in keys.items()}
        learned = [callers["first"].create() for _ in range(4)]
        _wait(callers["first"], learned)
        asked = {"first": [callers["first"].create() for _ in range(videos)]}
        asked["second"] = [callers["second"].create() for _ in range(videos)]
        ended = {name: _wait(callers[name], asked[name]) for name in asked}
    _report(asked, ended)


def _wait(caller: Caller, videos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Wait until all are completed; returns them with the time at which that was seen."""
    pause, ended = threading.Event(), dict[str, dict[str, Any]]()
    while len(ended) < len(videos):
        pause.wait(0.1)
        for video in videos:
            if video["id"] in ended:
                continue
            now = caller.get(video["id"])
            if now["status"] == "failed":
                raise SystemExit(f"{video['id']} failed: {now['error']}")
            if now["status"] == "completed":
                ended[video["id"]] = now | {"seen": time.time()}
    return [ended[video["id"]] for video in videos]


def _report(asked: dict[str, list[dict[str, Any]]], ended: dict[str, list[dict[str, Any]]]) -> None:
    took = [v["completed_at"] - v["started_at"] for name in ended for v in ended[name]]
    begun = sorted((v["started_at"], name) for name in ended for v in ended[name])
    # While both wait: until the last one of the first account has started.
    last = max(v["started_at"] for v in ended["first"])
    together: dict[str, int] = defaultdict(int)
    since = asked["second"][0]["asked"]
    for at, name in begun:
        if since <= at <= last:
            together[name] += 1
    first = ended["second"][0]["started_at"] - since
    print(f"\nOn a stack: weights 3:1, {len(ended['first'])} videos each")
    print(f"  a video takes {statistics.median(took):.1f} s")
    print(f"  the second account's first video started after {first:.1f} s")
    print(f"  starts while both waited: {json.dumps(together)}")
    errors = [
        abs(one["eta_seconds"] - (end["seen"] - one["asked"])) / (end["seen"] - one["asked"])
        for name in asked
        for one, end in zip(asked[name], ended[name], strict=True)
        if one["eta_seconds"] is not None
    ]
    print(f"  eta_seconds at the request: median error {100 * statistics.median(errors):.0f} %")
