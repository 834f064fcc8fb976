"""One run of a plan: callers and faults at once, then rest, then the verdict."""

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
from tests.e2e.faults.callers import Callers, Told
from tests.e2e.faults.checker import Verdict, check, collect
from tests.e2e.faults.histories import FINAL
from tests.e2e.faults.injector import Injector
from tests.e2e.faults.plan import Plan
from tests.e2e.faults.stack import KEYS, WORKERS, FaultyStack
from tests.e2e.faults.watcher import Watcher
from tests.patience import scaled, wait_until

CALLERS: Final = 12
# What the list of the HTTP API shows for each last event.
SHOWN: Final = {"completed": "completed", "failed": "failed", "cancelled": "failed"}

_LOST: Final = re.compile(r"(\S+): attempt \d+ ended: lost, (\d+) steps after the lease was lost")
# The step that is being made, and one that was on its way to the worker.
MOST_STEPS_IN_VAIN: Final = 2


@dataclass(frozen=True)
class Outcome:
    """What a run showed.

    Attributes:
        verdict: the checker's.
        told: what each caller was told.
        injector: with what it broke.
        left_over: objects that waited for the sweeper.
        lost_races: attempts that noticed that their video was no longer theirs.
        restarts: seconds from the loss of a worker to the next attempt, by how it was lost.
    """

    verdict: Verdict
    told: list[Told]
    injector: Injector
    left_over: int
    lost_races: int
    restarts: dict[str, list[float]]

    def median_restart(self, how: str) -> float | None:
        """The median of `restarts`, or None if no worker was lost that way."""
        return statistics.median(self.restarts[how]) if self.restarts[how] else None


def run_plan(stack: FaultyStack, plan: Plan, *, rest_seconds: float) -> Outcome:
    """Do what the plan says, wait up to `rest_seconds` for all videos to end, and check."""
    callers, injector = Callers(stack.client_url, stack.streams), Injector(stack)
    told: list[Told] = []
    watchers = [Watcher(stack.client_url, name, key) for name, key in KEYS.items()]
    for watcher in watchers:
        watcher.start()
    with ThreadPoolExecutor(CALLERS) as pool:
        calls: list[Future[list[Told]]] = []
        steps: list[tuple[float, Callable[[], None]]] = [
            *((s.at, lambda s=s: calls.append(pool.submit(callers.run, s)))
              for s in plan.submissions),
            *((f.at, lambda f=f: injector.begin(f)) for f in plan.faults),
        ]  # fmt: skip
        begun, pace = time.monotonic(), threading.Event()
        for at, step in sorted(steps, key=lambda timed: timed[0]):
            pace.wait(max(0.0, begun + at - time.monotonic()))
            step()
        injector.finish()
        for call in calls:
            told.extend(call.result())
    outcome = judge(stack, told, injector, rest_seconds=rest_seconds)
    for watcher in watchers:
        outcome.verdict.violations += watcher.finish(outcome.verdict.by_key.values())
    return outcome


def judge(
    stack: FaultyStack, told: list[Told], injector: Injector, *, rest_seconds: float
) -> Outcome:
    """Wait until everything has come to rest, and check it."""
    late = _rest(stack, rest_seconds)
    left_over = _left_over(stack)
    stack.sweep()
    verdict = check(stack.streams, stack.s3(), told, injector.submit_ended)
    verdict.violations += late + injector.errors + _check_lists(stack, verdict)
    in_vain = [
        (video_id, int(steps))
        for name in WORKERS
        for video_id, steps in _LOST.findall(stack.whole_log(name))
    ]
    verdict.violations += [
        f"{video_id}: its worker made {steps} steps after it had heard that the video was lost"
        for video_id, steps in in_vain
        if steps > MOST_STEPS_IN_VAIN
    ]
    return Outcome(verdict, told, injector, left_over, len(in_vain), _restarts(verdict, injector))


def _rest(stack: FaultyStack, seconds: float) -> list[str]:
    """Wait until nothing happens any more; what goes on for longer is a finding."""

    def resting() -> bool:
        if not stack.streams.settled():
            return False
        # A request that can't be named has no video, and is settled without one.
        return all(
            history.state in FINAL or (history.state == "queued" and not history.events)
            for history in collect(stack.streams)[0].values()
        )

    try:
        wait_until(resting, seconds=seconds, what="everything has come to rest", every=0.5)
        wait_until(
            lambda: all(stack.video_on(name) is None for name in WORKERS),
            seconds=seconds,
            what="every worker is idle",
            every=0.5,
        )
    except AssertionError as late:
        return [str(late)]
    return []


def _left_over(stack: FaultyStack) -> int:
    bucket = Bucket(stack.s3())
    return sum(len(bucket.orphans(history)) for history in collect(stack.streams)[0].values())


def _restarts(verdict: Verdict, injector: Injector) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"died": [], "froze": []}
    for lost in injector.lost_workers.values():
        for (_, video_id), history in verdict.by_key.items():
            for event in history.events if video_id == lost.video_id else ():
                attempt = event.data.get("attempt")
                again = event.name == "started" and attempt == lost.attempt + 1
                if again and event.time > lost.at:
                    found[lost.how].append(event.time - lost.at)
    return found


def _check_lists(stack: FaultyStack, verdict: Verdict) -> list[str]:
    """What `status` lists must be what the streams hold, whatever it went through."""
    expected = {
        key: SHOWN[history.state]
        for key, history in verdict.by_key.items()
        if history.state in SHOWN
    }

    def listed() -> dict[tuple[str, str], str]:
        return {key: status for name in KEYS for key, status in _list(stack, name)}

    try:
        wait_until(lambda: listed() == expected, seconds=15, what="lists are up to date", every=0.5)
    except AssertionError:
        shown = listed()
        odd = {key for key in expected.keys() | shown.keys() if expected.get(key) != shown.get(key)}
        return [f"{k}: is {expected.get(k)}, and is listed as {shown.get(k)}" for k in sorted(odd)]
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
        answer.raise_for_status()
        page = answer.json()
        found += [((account, video["id"]), video["status"]) for video in page["data"]]
        if not page["has_more"]:
            return found
        after = {"after": page["last_id"]}
