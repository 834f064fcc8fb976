"""Model-checks the delivery protocol: `python -m protocol.model [--full | --without GUARD]`.

The exit status is 0 if all properties hold, and 1 if there is a counter-example.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields

from protocol.explore import Verdict, explore, explore_fairness
from protocol.fairness import FAIR_BOUNDED, FAIR_NEEDED_IN, FairGuards, FairScenario
from protocol.scenarios import BOUNDED, FULL, NEEDED_IN, Scenario
from protocol.state import Guards


def main(arguments: list[str] | None = None) -> int:
    """Explore the selected scenarios and print the verdicts; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m protocol.model", description=__doc__)
    selection = parser.add_mutually_exclusive_group()
    names = [field.name for field in (*fields(Guards), *fields(FairGuards))]
    selection.add_argument("--without", choices=names, help="remove a guard, in a small scenario")
    selection.add_argument("--full", action="store_true", help="add scenarios that take minutes")
    options = parser.parse_args(arguments)
    if options.without in FAIR_NEEDED_IN:
        return _show_turns(FAIR_NEEDED_IN[options.without], FairGuards(**{options.without: False}))
    if options.without:
        return _show(NEEDED_IN[options.without], Guards(**{options.without: False}))
    scenarios = BOUNDED + FULL if options.full else BOUNDED
    # A list, so that the first counter-example does not stop the run.
    shown = [_show(scenario, Guards()) for scenario in scenarios]
    return max([*shown, *(_show_turns(scenario, FairGuards()) for scenario in FAIR_BOUNDED)])


def _show(scenario: Scenario, guards: Guards) -> int:
    size = f"{scenario.workers} workers, {scenario.dispatchers} dispatchers"
    return _print(f"{scenario.name} ({size})", explore(scenario.start(), guards))


def _show_turns(scenario: FairScenario, guards: FairGuards) -> int:
    size = f"{len(scenario.accounts)} videos, {scenario.limit} at a time"
    return _print(f"{scenario.name} ({size})", explore_fairness(scenario.start(), guards))


def _print(line: str, verdict: Verdict) -> int:
    for text in report(line, verdict):
        sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    return int(bool(verdict.violation) or not verdict.complete)


def report(line: str, verdict: Verdict) -> list[str]:
    """The verdict as text, with the steps of a counter-example numbered from 1."""
    size = f"{verdict.states} states, {verdict.seconds:.1f} s"
    if not verdict.complete:
        return [f"{line}: {size}, INCOMPLETE: too many states"]
    if not verdict.violation:
        return [f"{line}: {size}, all properties hold"]
    steps = [f"  {number:2}. {text}" for number, text in enumerate(verdict.trace, 1)]
    return [f"{line}: {size}, VIOLATED: {verdict.violation}", *steps]


if __name__ == "__main__":
    sys.exit(main())
