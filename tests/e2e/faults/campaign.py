"""Runs a schedule of submissions and faults, waits until the stack is idle, and checks it."""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import requests

from tests.e2e.faults.bucket import Bucket
from tests.e2e.faults.caller_record import CallerRecord
from tests.e2e.faults.callers import Callers
from tests.e2e.faults.checker import Verdict, check, read_histories
from tests.e2e.faults.history import FINAL
from tests.e2e.faults.injector import Injector
from tests.e2e.faults.schedule import Schedule
from tests.e2e.faults.stack import KEYS, WORKERS, FaultyStack
from tests.e2e.faults.watcher import Watcher
from tests.patience import scaled, wait_until

CALLERS: Final = 12
# The status in the HTTP API for each final state; deleted videos are not listed.
LISTED_STATUS: Final = {"completed": "completed", "failed": "failed", "cancelled": "failed"}

_LOST: Final = re.compile(
    r"attempt ended: lost, (\d+) steps after the lease was lost .*video_id=(\S+)"
)
# The step that is running, and one whose message is on its way to the worker.
MAX_STEPS_AFTER_LOSS: Final = 2


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Attributes:
        verdict: the checker's verdict.
        records: one record for each request.
        injector: the injector, with the faults that it injected.
        orphans: the number of objects that were left for the sweeper.
        lost_races: the number of attempts whose worker noticed that it had lost the video.
        restarts: seconds from the loss of a worker to the next attempt, for `died` and `froze`.
    """

    verdict: Verdict
    records: list[CallerRecord]
    injector: Injector
    orphans: int
    lost_races: int
    restarts: dict[str, list[float]]

    def median_restart(self, how: str) -> float | None:
        """The median of `restarts`, or None if no worker was lost that way."""
        return statistics.median(self.restarts[how]) if self.restarts[how] else None


def run_schedule(stack: FaultyStack, schedule: Schedule, *, rest_seconds: float) -> Outcome:
    """Run `schedule`, wait up to `rest_seconds` for all final states, and check the promises."""
    callers, injector = Callers(stack.client_url, stack.streams), Injector(stack)
    records: list[CallerRecord] = []
    watchers = [Watcher(stack.client_url, name, key) for name, key in KEYS.items()]
    for watcher in watchers:
        watcher.start()
    with ThreadPoolExecutor(CALLERS) as pool:
        calls: list[Future[list[CallerRecord]]] = []
        steps: list[tuple[float, Callable[[], None]]] = [
            *((s.at, lambda s=s: calls.append(pool.submit(callers.run, s)))
              for s in schedule.submissions),
            *((f.at, lambda f=f: injector.inject(f)) for f in schedule.faults),
        ]  # fmt: skip
        start, pace = time.monotonic(), threading.Event()
        for at, step in sorted(steps, key=lambda timed: timed[0]):
            pace.wait(max(0.0, start + at - time.monotonic()))
            step()
        injector.finish()
        for call in calls:
            records.extend(call.result())
    outcome = judge(stack, records, injector, rest_seconds=rest_seconds)
    for watcher in watchers:
        outcome.verdict.violations += watcher.finish(outcome.verdict.by_key.values())
    return outcome


def judge(
    stack: FaultyStack, records: list[CallerRecord], injector: Injector, *, rest_seconds: float
) -> Outcome:
    """Wait until everything is idle, and check the promises."""
    late = _wait_idle(stack, rest_seconds)
    orphans = _count_orphans(stack)
    stack.sweep()
    verdict = check(stack.streams, stack.s3(), records, injector.submit_exits)
    verdict.violations += late + injector.errors + _check_lists(stack, verdict)
    after_loss = [
        (video_id, int(steps))
        for name in WORKERS
        for steps, video_id in _LOST.findall(stack.full_log(name))
    ]
    verdict.violations += [
        f"{video_id}: its worker ran {steps} steps after it learned that the lease was lost"
        for video_id, steps in after_loss
        if steps > MAX_STEPS_AFTER_LOSS
    ]
    return Outcome(
        verdict, records, injector, orphans, len(after_loss), _restarts(verdict, injector)
    )


def _wait_idle(stack: FaultyStack, seconds: float) -> list[str]:
    """Wait until everything is idle; what takes longer is a violation."""

    def idle() -> bool:
        if not stack.streams.is_idle():
            return False
        # A request with an invalid id never becomes a video, so it gets no events.
        return all(
            history.state in FINAL or (history.state == "queued" and not history.events)
            for history in read_histories(stack.streams)[0].values()
        )

    try:
        wait_until(idle, seconds=seconds, what="every video is in a final state", every=0.5)
        wait_until(
            lambda: all(stack.video_on(name) is None for name in WORKERS),
            seconds=seconds,
            what="every worker is idle",
            every=0.5,
        )
    except AssertionError as late:
        return [str(late)]
    return []


def _count_orphans(stack: FaultyStack) -> int:
    bucket = Bucket(stack.s3())
    return sum(
        len(bucket.orphans(history)) for history in read_histories(stack.streams)[0].values()
    )


def _restarts(verdict: Verdict, injector: Injector) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"died": [], "froze": []}
    for lost in injector.lost_workers.values():
        for (_, video_id), history in verdict.by_key.items():
            for event in history.events if video_id == lost.video_id else ():
                attempt = event.data.get("attempt")
                next_attempt = event.name == "started" and attempt == lost.attempt + 1
                if next_attempt and event.time > lost.at:
                    found[lost.how].append(event.time - lost.at)
    return found


def _check_lists(stack: FaultyStack, verdict: Verdict) -> list[str]:
    """Compare the lists of `status` with the contents of the streams."""
    expected = {
        key: LISTED_STATUS[history.state]
        for key, history in verdict.by_key.items()
        if history.state in LISTED_STATUS
    }

    def listed() -> dict[tuple[str, str], str]:
        return {key: status for name in KEYS for key, status in _list(stack, name)}

    try:
        wait_until(lambda: listed() == expected, seconds=15, what="lists are up to date", every=0.5)
    except AssertionError:
        shown = listed()
        differing = {
            key for key in expected.keys() | shown.keys() if expected.get(key) != shown.get(key)
        }
        return [
            f"{k}: is {expected.get(k)}, but is listed as {shown.get(k)}" for k in sorted(differing)
        ]
    return []


def _list(stack: FaultyStack, account: str) -> list[tuple[tuple[str, str], str]]:
    found: list[tuple[tuple[str, str], str]] = []
    after: dict[str, str] = {}
    while True:
        answer = requests.get(
            f"{stack.url}/v1/videos",
            params={"limit": "100", **after},
            headers={"authorization": f"Bearer {KEYS[account]}"},
            timeout=scaled(20),
        )
        if answer.status_code == requests.codes.service_unavailable:
            return []  # `status` reads the streams again
        answer.raise_for_status()
        page = answer.json()
        found += [((account, video["id"]), video["status"]) for video in page["data"]]
        if not page["has_more"]:
            return found
        after = {"after": page["last_id"]}
