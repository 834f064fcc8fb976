"""Explores the protocol: `python -m protocol.model [--full | --without GUARD]`.

The exit status is 0 if every promise holds, and 1 if a counter-example was found.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields

from protocol.explore import Verdict, explore
from protocol.scenarios import BOUNDED, FULL, SHOWN_BY, Scenario
from protocol.state import Guards


def main(arguments: list[str] | None = None) -> int:
    """Explore what was asked for, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m protocol.model", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    names = [field.name for field in fields(Guards)]
    what.add_argument("--without", choices=names, help="leave a guard out, in one small scenario")
    what.add_argument("--full", action="store_true", help="also the scenarios that take minutes")
    options = parser.parse_args(arguments)
    if options.without:
        return _show(SHOWN_BY[options.without], Guards(**{options.without: False}))
    scenarios = BOUNDED + FULL if options.full else BOUNDED
    # Not a generator: one counter-example must not hide the next.
    return max([_show(scenario, Guards()) for scenario in scenarios])


def _show(scenario: Scenario, guards: Guards) -> int:
    verdict = explore(scenario.start(), guards)
    for line in report(scenario, verdict):
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    return int(bool(verdict.broken) or not verdict.complete)


def report(scenario: Scenario, verdict: Verdict) -> list[str]:
    """The verdict in words, with the counter-example's steps numbered from 1."""
    size = f"{verdict.states} states, {verdict.seconds:.1f} s"
    line = f"{scenario.name} ({scenario.workers} workers, {scenario.dispatchers} dispatchers)"
    if not verdict.complete:
        return [f"{line}: {size}, broken off: too many states"]
    if not verdict.broken:
        return [f"{line}: {size}, every promise holds"]
    steps = [f"  {number:2}. {text}" for number, text in enumerate(verdict.trace, 1)]
    return [f"{line}: {size}, BROKEN: {verdict.broken}", *steps]


if __name__ == "__main__":
    sys.exit(main())
