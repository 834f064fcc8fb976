"""Soak test: many videos and many injected faults, from one seed.

`python -m benchmarks.soak --videos 1000 --faults 200` starts its own stack on free ports with the
default lease, and prints the outcomes and how fast lost videos restart. It exits with 1 if a check
of `docs/faults.md` failed.

Beside the faults of the schedule, it injects those of `tests/e2e/faults/schedule.py`'s
`with_operations`, whose end is asked of an operator:

- The object store refuses for two minutes (`--outage`): no attempt may be burnt by that.
- The disk of NATS is full and then freed (as root only), and NATS is restarted, as `make run` and
  the liveness probe do: nothing that was acknowledged is lost.
- The clock of each function in turn is two hours wrong for a while: nothing is decided by it.
- An operator deletes the consumer of `dispatch`, and runs `python -m functions.setup`, or purges
  TURNS and QUEUE: what ended is not made again, and what waits is made.
- An operator purges the requests and all but the last event of videos that have ended: their state
  and their files stay as they are. The last event of a video is its state; to purge that, or the
  request of one that has not ended, is a loss of data.

At the end it prints how many videos were lost, doubled, stuck or burnt: each is a violation.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

from functions.shared.config import Settings
from tests.e2e.faults.campaign import Outcome, run_schedule
from tests.e2e.faults.schedule import make_schedule, with_operations
from tests.e2e.faults.stack import SHORT, faulty_stack

# Videos per second that two cores can generate despite the faults, so that the queue stays short.
VIDEOS_PER_SECOND: Final = 0.75
# A fault lasts seconds; more at a time would leave nothing that works.
FAULTS_PER_SECOND: Final = 0.25
DIED_TARGET: Final = 25.0
FROZE_TARGET: Final = 45.0
# A frozen worker is detected late: `dispatch` first waits for a line of its response, then up to
# ten seconds for the redelivery, and then for the rest of the lease.
NOTICE: Final = 1.5
# Many times what the streams of a thousand videos and their audit need.
DISK_MEGABYTES: Final = 192
# What a violation of these kinds says.
LOSSES: Final = {
    "lost": ("does not exist", "lacks the objects", "never received"),
    "doubled": ("became", "finished", "after a final state", "deleted twice"),
    "stuck": ("not a final state", "timed out"),
    "burnt": ("was burnt",),
}


def main() -> None:
    """Run, print the table, and exit with 1 if there were violations."""
    options = _options()
    settings = SHORT if options.short else {}
    defaults = Settings()
    silence = float(settings.get("SILENCE_SECONDS", defaults.silence_seconds))
    lease = float(settings.get("LEASE_SECONDS", defaults.lease_seconds))
    seconds = max(options.videos / VIDEOS_PER_SECOND, options.faults / FAULTS_PER_SECOND)
    schedule = make_schedule(
        options.seed,
        videos=options.videos,
        faults=options.faults,
        seconds=seconds,
        past_lease=NOTICE * (silence + 10),
    )
    # Without root, NATS can't have a disk of its own.
    disk = DISK_MEGABYTES if os.geteuid() == 0 else None
    schedule = with_operations(schedule, seconds=seconds, outage=options.outage)
    if disk is None:
        faults = [fault for fault in schedule.faults if fault.kind != "fill the disk"]
        schedule = replace(schedule, faults=faults)
        print("skipped: filling the disk of NATS, which needs root")
    print(f"seed {options.seed}, lease {lease:g} s, faults over {seconds:.0f} s", flush=True)
    start = time.monotonic()
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        faulty_stack(Path(folder) / "stack", settings, disk_megabytes=disk) as stack,
    ):
        outcome = run_schedule(stack, schedule, rest_seconds=options.rest)
    print_table(outcome, time.monotonic() - start)
    sys.exit(1 if outcome.verdict.violations else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--videos", type=int, default=1000, help="videos to request")
    parser.add_argument("--faults", type=int, default=200, help="faults to inject")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="random seed")  # noqa: S311 - not security
    parser.add_argument("--short", action="store_true", help="use the short lease of the tests")
    parser.add_argument(
        "--rest", type=float, default=300, help="seconds after the last fault to finish all videos"
    )
    parser.add_argument(
        "--outage", type=float, default=120, help="seconds for which the object store refuses"
    )
    parser.add_argument("--folder", help="where to write data and logs; default: the system's")
    return parser.parse_args()


def print_table(outcome: Outcome, seconds: float) -> None:
    """Print counts, times and violations."""
    verdict, injector = outcome.verdict, outcome.injector
    videos = sum(verdict.states.values())
    kinds: Counter[str] = Counter()
    for (kind, _), count in injector.injected.items():
        kinds[kind] += count
    attempts = Counter(history.attempts for history in verdict.by_key.values())
    _rows("faults", kinds)
    _rows("videos", verdict.states)
    _rows("videos by attempts", {f"{n}": count for n, count in sorted(attempts.items())})
    _rows("callers", Counter(record.outcome for record in outcome.records))
    _row("duplicates prevented (lost races)", outcome.lost_races)
    _row("refused, but `submit` was ended first", verdict.ghosts)
    _row("objects left for the sweeper", outcome.orphans)
    _row("stored messages the audit missed", verdict.missed)
    for how, target in (("died", DIED_TARGET), ("froze", FROZE_TARGET)):
        times, middle = outcome.restarts[how], outcome.median_restart(how)
        text = "none" if middle is None else f"{middle:.1f} s (target: under {target:g})"
        _row(f"worker {how} to restart, median of {len(times)}", text)
    for name, words in LOSSES.items():
        found = [v for v in verdict.violations if any(word in v for word in words)]
        _row(name, len(found))
    print(f"{videos} videos in {seconds:.0f} s, {len(verdict.violations)} violations")
    print(verdict.report)


def _rows(title: str, counts: Counter[str] | dict[str, int]) -> None:
    for name, count in sorted(counts.items()):
        _row(f"{title}: {name}", count)


def _row(name: str, value: object) -> None:
    print(f"{name:<46} {value}")


if __name__ == "__main__":
    main()
