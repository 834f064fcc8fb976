"""How fair turns are, and what they cost.

`python -m benchmarks.fairness` simulates queues over the function that decides
(`functions/shared/video/fairness.py`), in simulated time, beside the order of arrival. With
`--real N`, it also runs N videos of one account and one of another on a local stack of its own.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.fairness_stack import run_on_a_stack
from functions.shared.subjects import VideoKey
from functions.shared.video.fair_queue import FairQueue
from functions.shared.video.fairness import RANKS, Limits, Waiting

SLOTS: Final = 4
MINUTE: Final = 60.0
DECISIONS: Final = 200


class Arrival(NamedTuple):
    """A request: when, whose, and how long its video takes."""

    at: float
    account: str
    seconds: float


@dataclass
class Outcome:
    """What came of the requests, in simulated seconds.

    Attributes:
        waits: how long the videos of each account waited for their start.
        used: how long they held a replica, up to `until`.
        ended: when the last one ended.
    """

    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    used: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    ended: float = 0.0


class InOrder:
    """The order of arrival, with the interface of `FairQueue` that the simulation needs."""

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: list[Waiting] = []

    def add(self, request: Waiting) -> None:
        """Append a request."""
        heapq.heappush(self._waiting, request)

    def next(self) -> Waiting | None:
        """The oldest request."""
        return self._waiting[0] if self._waiting else None

    def give_turn(self, _: VideoKey) -> None:
        """Start the oldest."""
        heapq.heappop(self._waiting)

    def end(self, key: VideoKey, used_seconds: float) -> None:
        """Nothing depends on it."""


def simulate(
    arrivals: Iterable[Arrival], queue: FairQueue | InOrder, *, slots: int, until: float
) -> Outcome:
    """Serve all requests; what is used counts up to `until`."""
    outcome, seconds = Outcome(), dict[VideoKey, float]()
    requests = sorted(arrivals)
    ends: list[tuple[float, int, VideoKey]] = []
    now, place = 0.0, 0
    asked: dict[VideoKey, float] = {}
    while place < len(requests) or ends or queue.next() is not None:
        while len(ends) < slots and (chosen := queue.next()) is not None:
            key = chosen.key
            queue.give_turn(key)
            outcome.waits[key.account].append(now - asked[key])
            heapq.heappush(ends, (now + seconds[key], chosen.seq, key))
            outcome.used[key.account] += max(0.0, min(until, now + seconds[key]) - now)
        arrives = requests[place].at if place < len(requests) else float("inf")
        if ends and ends[0][0] <= arrives:
            now, _, key = heapq.heappop(ends)
            queue.end(key, seconds[key])
        elif place < len(requests):
            request, now, place = requests[place], arrives, place + 1
            key = VideoKey(request.account, f"v{place}")
            seconds[key], asked[key] = request.seconds, now
            EXPECTED[key] = request.seconds
            queue.add(Waiting(RANKS["normal"], place, key))
        outcome.ended = max(outcome.ended, now)
    return outcome


# What the queue expects of each video: the truth, in a simulation.
EXPECTED: Final[dict[VideoKey, float]] = {}


def jain(parts: Iterable[float]) -> float:
    """Jain's index: 1 if all have equal parts, 1/n if one has everything."""
    values = list(parts)
    return sum(values) ** 2 / (len(values) * sum(value**2 for value in values))


@dataclass(frozen=True)
class Case:
    """A queue to simulate, and the parts that its accounts should get of the time up to `until`."""

    name: str
    arrivals: list[Arrival]
    limits: dict[str, Limits] = field(default_factory=dict)
    until: float = float("inf")


def cases() -> list[Case]:
    """The queues."""
    rng = random.Random(1)  # noqa: S311 - a reproducible mix
    hundred = [Arrival(0.0, "A", MINUTE)] * 100
    storm = [Arrival(rng.uniform(0, MINUTE), f"s{n}", MINUTE) for n in range(1000)]
    return [
        Case("A has 100, then B and C one each", [
            *hundred, Arrival(90.0, "B", MINUTE), Arrival(100.0, "C", MINUTE)]),
        Case("weights 3:1", [
            *(Arrival(0.0, name, MINUTE) for name in "AB" for _ in range(100))],
            {"A": Limits(weight=3)}, 20 * MINUTE),
        Case("A's videos are four times as long", [
            *(Arrival(0.0, "A", 4 * MINUTE) for _ in range(50)),
            *(Arrival(0.0, "B", MINUTE) for _ in range(200))], until=40 * MINUTE),
        Case("mixed lengths", [
            Arrival(rng.uniform(0, MINUTE), name, rng.choice((20.0, 70.0, 190.0)))
            for name in "ABC" for _ in range(60)], until=40 * MINUTE),
        Case("B pauses for ten minutes, twice", [
            *(Arrival(0.0, "A", MINUTE) for _ in range(200)),
            *(Arrival(at * MINUTE, "B", MINUTE) for at in (0, 10, 20) for _ in range(4))]),
        Case("A may have one running", [
            *(Arrival(0.0, name, MINUTE) for name in "AB" for _ in range(40))],
            {"A": Limits(max_running=1)}, 13 * MINUTE),
        Case("A has 100, then 1,000 accounts one each", [*hundred, *storm]),
    ]  # fmt: skip


def show(case: Case) -> None:
    """Print a case, with both orders."""
    print(f"\n{case.name}")
    print(f"  {'':<22} {'first start':>22} {'median wait':>22} {'part':>14}  {'Jain':>5}")
    ended = {}
    for name, queue in (
        ("order of arrival", InOrder()),
        ("turns", FairQueue(EXPECTED.__getitem__, lambda one: case.limits.get(one, Limits()))),
    ):
        outcome = simulate(case.arrivals, queue, slots=SLOTS, until=case.until)
        ended[name] = outcome.ended
        named = [one for one in outcome.waits if not one.startswith("s")]
        others = [one for one in outcome.waits if one.startswith("s")]
        total = sum(outcome.used.values())
        first = " ".join(f"{outcome.waits[one][0]:.0f}" for one in named)
        middle = " ".join(f"{statistics.median(outcome.waits[one]):.0f}" for one in named)
        parts = " ".join(f"{100 * outcome.used[one] / total:.0f} %" for one in named)
        weights = {one: case.limits.get(one, Limits()).weight for one in outcome.used}
        index = jain(outcome.used[one] / weights[one] for one in outcome.used)
        print(f"  {name:<22} {first:>22} {middle:>22} {parts:>14}  {index:5.2f}")
        if others:
            waits = [outcome.waits[one][0] for one in others]
            print(f"  {'  of the 1,000':<22} median {statistics.median(waits):.0f}, "
                  f"longest {max(waits):.0f}")  # fmt: skip
    change = 100 * (ended["turns"] / ended["order of arrival"] - 1)
    print(
        f"  all ended after {ended['turns'] / MINUTE:.1f} min, {change:+.2f} % of the other order"
    )


def decision_milliseconds(accounts: int, waiting: int) -> float:
    """Processor time of one decision."""
    queue = FairQueue(lambda _: MINUTE)
    for number in range(waiting):
        key = VideoKey(f"a{number % accounts}", f"v{number}")
        queue.add(Waiting(RANKS["normal"], number, key))
    return 1000 * _processor_seconds(queue.next) / DECISIONS


def _processor_seconds(call: Callable[[], object]) -> float:
    begun = time.process_time()
    for _ in range(DECISIONS):
        call()
    return time.process_time() - begun


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--real", type=int, default=0, help="videos of a run on a real stack")
    options = parser.parse_args()
    print(f"Simulated: {SLOTS} replicas, seconds, accounts A B C in order")
    for case in cases():
        show(case)
    print("\nProcessor time of a decision, 10,000 waiting")
    for accounts in (1, 10, 1000):
        print(f"  {accounts:5} accounts {decision_milliseconds(accounts, 10_000):6.3f} ms")
    if options.real:
        with tempfile.TemporaryDirectory() as folder:
            run_on_a_stack(Path(folder), options.real)


if __name__ == "__main__":
    main()
