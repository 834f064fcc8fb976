"""Generates a schedule of submissions and faults; the same seed gives the same schedule."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.e2e.faults.poison import POISONS, SMALLEST, Poison
from tests.e2e.faults.stack import FUNCTIONS, KEYS, SERVERS

# One or two seconds of work, so that faults hit running videos; and more work than a lease lasts.
MEDIUM: Final[dict[str, Any]] = {"size": "96x64", "num_frames": 25, "num_inference_steps": 60}
LONGER: Final[dict[str, Any]] = {"size": "96x64", "num_frames": 25, "num_inference_steps": 200}

_INTERFACES: Final = {"http": 4, "http with key": 4, "cloudevent": 3, "nats": 3, "poison": 1}
_FOLLOW_UPS: Final = {"none": 12, "cancel": 3, "delete": 3, "foreign": 2}
_LENGTHS: Final = {"tiny": 12, "medium": 5, "longer": 1}
_FIELDS: Final[Mapping[str, dict[str, Any]]] = {
    "tiny": SMALLEST,
    "medium": MEDIUM,
    "longer": LONGER,
}
_LINKS: Final = ("client", "sink", "s3", *(f"nats/{name}" for name in FUNCTIONS))
PAST_LEASE: Final = "freeze past the lease"
# S3 accepts 15 minutes.
WRONG_CLOCKS: Final = {"clock two hours slow": "-2h", "clock two hours fast": "+2h"}
# Resolved when the fault is injected, to a replica that is rendering a video.
BUSY_WORKER: Final = "a busy worker"
# The targets of each kind of fault. Busy workers are listed twice: they hold the videos.
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "kill": (*FUNCTIONS, BUSY_WORKER, BUSY_WORKER, *SERVERS),
    "kill worker": (*FUNCTIONS, BUSY_WORKER, BUSY_WORKER),
    "kill engine": (BUSY_WORKER,),
    "freeze engine": (BUSY_WORKER,),
    "terminate": (*FUNCTIONS, *SERVERS),
    "freeze": (*FUNCTIONS, BUSY_WORKER, BUSY_WORKER, *SERVERS),
    PAST_LEASE: (BUSY_WORKER,),
    "cut": _LINKS,
    "refuse": _LINKS,
    "stall": _LINKS,
    "slow": ("s3", "sink"),
    "errors": ("s3",),
}
_SECONDS: Final[Mapping[str, tuple[float, float]]] = {
    "kill": (0, 2),
    "freeze": (0.5, 3),
    "freeze engine": (0.5, 3),
    "refuse": (0.5, 3),
    "stall": (0.5, 4),
    "slow": (1, 4),
    "errors": (1, 4),
}


@dataclass(frozen=True)
class Submission:
    """What one caller sends, `at` seconds after the start."""

    at: float
    interface: str
    account: str
    nonce: str
    fields: Mapping[str, Any]
    follow_up: str
    follow_after: float
    poison: Poison | None = None


@dataclass(frozen=True)
class Fault:
    """A fault of `kind` in `target`, `at` seconds after the start, for `seconds`."""

    at: float
    kind: str
    target: str
    seconds: float


@dataclass(frozen=True)
class Schedule:
    """All submissions and faults of one run, sorted by time."""

    seed: int
    submissions: list[Submission] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def make_schedule(
    seed: int, *, videos: int, faults: int, seconds: float, past_lease: float
) -> Schedule:
    """Spread submissions and faults randomly over `seconds`.

    Args:
        seed: the seed of all random choices.
        videos: the number of submissions, including invalid ones.
        faults: the number of faults.
        seconds: the length of the schedule.
        past_lease: how long a worker must be frozen for its video to be taken over, in seconds.
    """
    rng = random.Random(seed)
    schedule = Schedule(seed)
    for number in range(videos):
        schedule.submissions.append(_submission(rng, rng.uniform(0, seconds), f"{seed}n{number}"))
    for _ in range(faults):
        schedule.faults.append(_fault(rng, rng.uniform(0.02, 1) * seconds, past_lease))
    schedule.submissions.sort(key=lambda submission: submission.at)
    schedule.faults.sort(key=lambda fault: fault.at)
    return schedule


def with_operations(schedule: Schedule, *, seconds: float, outage: float) -> Schedule:
    """Add faults that an operator causes or ends, evenly over `seconds`.

    They are a store that refuses, a full disk of NATS, clocks that jump, a deleted consumer, and
    purges; the longest take `outage` seconds.
    """
    rng = random.Random(schedule.seed)
    kinds = (
        ("purge what ended", "streams", 0.0),
        ("refuse", "s3", outage),
        ("delete the consumer", "streams", outage / 6),
        ("purge the turns", "streams", 0.0),
        *(
            (rng.choice(list(WRONG_CLOCKS)), name, outage / 4)
            for name in rng.sample(FUNCTIONS, len(FUNCTIONS))
        ),
        ("fill the disk", "nats", outage / 4),
        ("purge what ended", "streams", 0.0),
    )
    every = seconds / (len(kinds) + 1)
    added = [Fault(n * every, *kind) for n, kind in enumerate(kinds, 1)]
    faults = sorted([*schedule.faults, *added], key=lambda fault: fault.at)
    return replace(schedule, faults=faults)


def _submission(rng: random.Random, at: float, nonce: str) -> Submission:
    interface = _weighted(rng, _INTERFACES)
    return Submission(
        at=at,
        interface=interface,
        account=rng.choice(sorted(KEYS)),
        nonce=nonce,
        fields=_FIELDS[_weighted(rng, _LENGTHS)],
        follow_up="none" if interface == "poison" else _weighted(rng, _FOLLOW_UPS),
        follow_after=rng.uniform(0, 3),
        poison=rng.choice(POISONS) if interface == "poison" else None,
    )


def _fault(rng: random.Random, at: float, past_lease: float) -> Fault:
    # A long freeze removes half of the workers for up to a minute, so it has half the weight.
    kind = _weighted(rng, {name: 1 if name == PAST_LEASE else 2 for name in _KINDS})
    target = rng.choice(_KINDS[kind])
    low, high = _SECONDS.get(kind, (0.0, 0.0))
    if kind == PAST_LEASE:
        low, high = past_lease, past_lease * 1.2
    return Fault(at, kind, target, rng.uniform(low, high))


def _weighted(rng: random.Random, weights: Mapping[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]
