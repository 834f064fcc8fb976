"""A caller with a steady pace, in a process of its own: what it notices of what others do.

It is an open loop: a response time counts from the moment at which the request was due, so that
requests which are held up also count for those behind them.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import requests

# What a page with one user's videos does, several times over. A p99 of 15 s is of 300 requests.
PER_SECOND: Final = 20
# In turn. Reads are of the video that was created last.
_TURNS: Final = ("create", "read", "list", "read", "list")
# More than are ever in flight, unless requests take seconds.
_CONNECTIONS: Final = 128
_TIMEOUT_SECONDS: Final = 30.0
_VIDEO: Final[dict[str, Any]] = {"size": "32x32", "num_frames": 7, "num_inference_steps": 2}


@dataclass
class Experience:
    """What a caller got.

    Attributes:
        newest: the id of the video that it created last.
        latencies: response times in seconds.
        refused: the requests without a success, by what was requested.
        reasons: the same, by the answer.
    """

    newest: str
    latencies: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def percentile(self, percent: int) -> float:
        """The response time in seconds at `percent` (1 to 99)."""
        return statistics.quantiles(self.latencies, n=100)[percent - 1]


class _Caller:
    def __init__(self, url: str, key: str, newest: str) -> None:
        self._url = f"{url}/v1/videos"
        self._headers = {"authorization": f"Bearer {key}"}
        self._thread = threading.local()
        self._lock = threading.Lock()
        self.experience = Experience(newest or self._send("create", 0).json()["id"])

    def call(self, due: float, number: int) -> None:
        kind = _TURNS[number % len(_TURNS)]
        try:
            answer = self._send(kind, number)
            reason = "" if answer.ok else f"{answer.status_code} for {kind}"
        except requests.RequestException as error:
            reason = f"{type(error).__name__} for {kind}"
        taken = time.monotonic() - due
        with self._lock:
            self.experience.latencies.append(taken)
            if reason:
                self.experience.refused[kind] += 1
                self.experience.reasons[reason] += 1
            elif kind == "create":
                self.experience.newest = answer.json()["id"]

    def _send(self, kind: str, number: int) -> requests.Response:
        if not hasattr(self._thread, "session"):
            self._thread.session = requests.Session()
            self._thread.session.headers.update(self._headers)
        session: requests.Session = self._thread.session
        if kind == "create":
            body = {"prompt": f"a red circle {number}", **_VIDEO}
            return session.post(self._url, json=body, timeout=_TIMEOUT_SECONDS)
        what = f"/{self.experience.newest}" if kind == "read" else "?limit=20"
        return session.get(self._url + what, timeout=_TIMEOUT_SECONDS)


def call_steadily(url: str, key: str, seconds: float, newest: str = "") -> Experience:
    """Create, read and list for `seconds`; return once every request has ended.

    Until something was created, it reads the video `newest`; without that, it creates one first.
    """
    caller = _Caller(url, key, newest)
    start, pace = time.monotonic(), threading.Event()
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        calls = []
        for number in range(int(seconds * PER_SECOND)):
            due = start + number / PER_SECOND
            pace.wait(max(0.0, due - time.monotonic()))
            calls.append(pool.submit(caller.call, due, number))
        for call in calls:
            call.result()
    return caller.experience
