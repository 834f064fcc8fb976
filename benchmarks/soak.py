"""Many videos and many faults, from one seed: what became of them, and how fast lost ones restart.

`python -m benchmarks.soak --videos 1000 --faults 200` starts a stack of its own, on free ports and
with the default lease, and prints a table. It exits with 1 if a promise of `docs/faults.md` was
broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from functions.shared.config import Settings
from tests.e2e.faults.campaign import Outcome, run_plan
from tests.e2e.faults.plan import make_plan
from tests.e2e.faults.stack import SHORT, faulty_stack

# Videos a second that two cores can make beside the faults, so that no queue grows for ever.
VIDEOS_PER_SECOND: Final = 0.75
# A fault mends within seconds; more of them at once would leave nothing that works.
FAULTS_PER_SECOND: Final = 0.25
DIED_AIM: Final = 25.0
FROZE_AIM: Final = 45.0
# What a worker that froze needs to be noticed: `dispatch` first waits for a sign of life, and then
# up to ten seconds for another delivery, and the next for the rest of the lease.
NOTICE: Final = 1.5


def main() -> None:
    """Run, print the table, and tell by the exit status whether every promise was kept."""
    options = _options()
    settings = SHORT if options.short else {}
    defaults = Settings()
    silence = float(settings.get("SILENCE_SECONDS", defaults.silence_seconds))
    lease = float(settings.get("LEASE_SECONDS", defaults.lease_seconds))
    seconds = max(options.videos / VIDEOS_PER_SECOND, options.faults / FAULTS_PER_SECOND)
    plan = make_plan(
        options.seed,
        videos=options.videos,
        faults=options.faults,
        seconds=seconds,
        past_lease=NOTICE * (silence + 10),
    )
    print(f"seed {options.seed}, lease {lease:g} s, faults over {seconds:.0f} s", flush=True)
    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        faulty_stack(Path(folder) / "stack", settings) as stack,
    ):
        outcome = run_plan(stack, plan, rest_seconds=options.rest)
    print_table(outcome, time.monotonic() - begun)
    sys.exit(1 if outcome.verdict.violations else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--videos", type=int, default=1000, help="requests for a video")
    parser.add_argument("--faults", type=int, default=200, help="faults beside them")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of both")  # noqa: S311
    parser.add_argument("--short", action="store_true", help="with the short lease of the tests")
    parser.add_argument("--rest", type=float, default=300, help="seconds until all must be done")
    parser.add_argument("--folder", help="where data and logs go; the system's default otherwise")
    return parser.parse_args()


def print_table(outcome: Outcome, seconds: float) -> None:
    """Print counts, times and violations."""
    verdict, injector = outcome.verdict, outcome.injector
    videos = sum(verdict.states.values())
    kinds: Counter[str] = Counter()
    for (kind, _), count in injector.done.items():
        kinds[kind] += count
    attempts = Counter(history.attempts for history in verdict.by_key.values())
    _rows("faults", kinds)
    _rows("videos", verdict.states)
    _rows("videos by attempts", {f"{n}": count for n, count in sorted(attempts.items())})
    _rows("callers", Counter(told.outcome for told in outcome.told))
    _row("duplicates prevented (lost races)", outcome.lost_races)
    _row("refused, but `submit` was ended first", verdict.ghosts)
    _row("objects left for the sweeper", outcome.left_over)
    _row("stored messages the audit missed", verdict.missed)
    for how, aim in (("died", DIED_AIM), ("froze", FROZE_AIM)):
        times, middle = outcome.restarts[how], outcome.median_restart(how)
        text = "none" if middle is None else f"{middle:.1f} s (aim: under {aim:g})"
        _row(f"worker {how} to restart, median of {len(times)}", text)
    print(f"{videos} videos in {seconds:.0f} s, {len(verdict.violations)} violations")
    print(verdict.report)


def _rows(title: str, counts: Counter[str] | dict[str, int]) -> None:
    for name, count in sorted(counts.items()):
        _row(f"{title}: {name}", count)


def _row(name: str, value: object) -> None:
    print(f"{name:<46} {value}")


if __name__ == "__main__":
    main()
