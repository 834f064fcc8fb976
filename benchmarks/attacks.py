"""What an innocent caller notices of attacks: response times and refusals, quiet and beside each.

`python -m benchmarks.attacks` starts a stack on free ports for each attack. A caller creates, reads
and lists at a steady pace, first alone (the baseline) and then beside the attack. It has an account
of its own; the attackers have two. `--only NAME` runs a single attack.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import attackers, outages
from benchmarks.attack_stage import Stage
from benchmarks.innocent_caller import Experience, call_steadily
from tests.small_disk import small_disk

P99_TARGET: Final = 0.5
DISK_MEGABYTES: Final = 32


@dataclass(frozen=True)
class Attack:
    """An attack, and what the stack needs for it.

    Attributes:
        name: for `--only` and the table.
        attack: what happens beside the innocent caller.
        prepare: what happens before the quiet part.
        quiet: what happens during the quiet part, as a baseline.
        small_disk: NATS has a disk of its own, which needs root.
        unavoidable: what can't succeed meanwhile, such as creations without a disk to store them.
    """

    name: str
    attack: Callable[[Stage], AbstractContextManager[None]]
    prepare: Callable[[Stage], None] = lambda _: None
    quiet: Callable[[Stage], AbstractContextManager[None]] = lambda _: nullcontext()
    small_disk: bool = False
    unavoidable: str = ""


def _prepare_download(stage: Stage) -> None:
    stage.complete_a_video()
    stage.enlarge_the_file()


ATTACKS: Final = (
    Attack("searches", attackers.searches, prepare=attackers.store_repeated_prompts),
    Attack("bodies", attackers.bodies),
    Attack("unfinished-gateway", attackers.unfinished_through_gateway),
    Attack("unfinished-status", attackers.unfinished_to_status),
    Attack("unread-responses", attackers.unread_responses, prepare=_prepare_download),
    Attack("frozen-store", attackers.frozen_store, prepare=Stage.complete_a_video),
    Attack("refusing-store", outages.refusing_store, prepare=Stage.start_rendering),
    Attack("full-disk", outages.full_disk, small_disk=True, unavoidable="create"),
    Attack("silent-streams", attackers.silent_streams, quiet=attackers.large_events),
)


def measure(attack: Attack, folder: Path, seconds: float) -> None:
    """Run one attack on a stack of its own, and print its row."""
    with ExitStack() as exits:
        stage = Stage(folder)
        exits.callback(stage.stack.close)
        if attack.small_disk:
            disk = small_disk(stage.stack.stack.data / "nats", megabytes=DISK_MEGABYTES)
            stage.disk = exits.enter_context(disk)
        # A process of its own, so that the attackers take no time from its clock.
        context = multiprocessing.get_context("spawn")
        pool = exits.enter_context(ProcessPoolExecutor(1, mp_context=context))
        call = partial(call_steadily, stage.stack.url, stage.innocent_key)
        stage.start()
        attack.prepare(stage)
        # Code that is loaded at its first use.
        first = pool.submit(call, 1).result()
        with attack.quiet(stage):
            quiet = pool.submit(call, seconds, first.newest).result()
        with attack.attack(stage):
            beside = pool.submit(call, seconds, quiet.newest).result()
        print(_row(attack, quiet, beside, stage.notes), flush=True)


HEADER: Final = (
    f"{'':<20}{'quiet':^28}{'beside the attack':^28}\n"
    f"{'attack':<20}" + f"{'p50 ms':>8} {'p99 ms':>8} {'refused':>10} " * 2
)


def _row(attack: Attack, quiet: Experience, beside: Experience, notes: str) -> str:
    refused = beside.refused.total() - beside.refused[attack.unavoidable]
    missed = beside.percentile(99) >= P99_TARGET or refused
    reasons = ", ".join(f"{times} x {reason}" for reason, times in beside.reasons.most_common(4))
    return " ".join(
        filter(
            None,
            [
                f"{attack.name:<20}{_columns(quiet)} {_columns(beside)}",
                "MISSED" if missed else "met",
                f"({reasons})" if reasons else "",
                notes,
                f"[load {os.getloadavg()[0]:.0f}]",
            ],
        )
    )


def _columns(experience: Experience) -> str:
    p50, p99 = (1000 * experience.percentile(percent) for percent in (50, 99))
    refused = f"{experience.refused.total()}/{len(experience.latencies)}"
    return f"{p50:>8,.0f} {p99:>8,.0f} {refused:>10}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    names = [attack.name for attack in ATTACKS]
    parser.add_argument("--only", choices=names, help="the only attack to run")
    parser.add_argument("--seconds", type=float, default=15, help="of each part of each attack")
    options = parser.parse_args()
    print(f"Targets: p99 under {1000 * P99_TARGET:.0f} ms, nothing refused\n{HEADER}", flush=True)
    for attack in ATTACKS:
        if options.only not in (None, attack.name):
            continue
        if attack.small_disk and not _may_mount():
            print(f"{attack.name:<20} skipped: it needs root, and permission to mount a disk")
            continue
        with tempfile.TemporaryDirectory() as folder:
            measure(attack, Path(folder), options.seconds)


def _may_mount() -> bool:
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder) / "disk"):
                return True
        except subprocess.CalledProcessError:
            return False


if __name__ == "__main__":
    main()
