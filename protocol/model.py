"""Model-checks the delivery protocol: `python -m protocol.model [--full | --without GUARD]`.

The exit status is 0 if all properties hold, and 1 if there is a counter-example.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields

from protocol.explore import Verdict, explore
from protocol.scenarios import BOUNDED, FULL, NEEDED_IN, Scenario
from protocol.state import Guards


def main(arguments: list[str] | None = None) -> int:
    """Explore the selected scenarios and print the verdicts; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m protocol.model", description=__doc__)
    selection = parser.add_mutually_exclusive_group()
    names = [field.name for field in fields(Guards)]
    selection.add_argument("--without", choices=names, help="remove a guard, in a small scenario")
    selection.add_argument("--full", action="store_true", help="add scenarios that take minutes")
    options = parser.parse_args(arguments)
    if options.without:
        return _show(NEEDED_IN[options.without], Guards(**{options.without: False}))
    scenarios = BOUNDED + FULL if options.full else BOUNDED
    # A list, so that the first counter-example does not stop the run.
    return max([_show(scenario, Guards()) for scenario in scenarios])


def _show(scenario: Scenario, guards: Guards) -> int:
    verdict = explore(scenario.start(), guards)
    for line in report(scenario, verdict):
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    return int(bool(verdict.violation) or not verdict.complete)


def report(scenario: Scenario, verdict: Verdict) -> list[str]:
    """The verdict as text, with the steps of a counter-example numbered from 1."""
    size = f"{verdict.states} states, {verdict.seconds:.1f} s"
    line = f"{scenario.name} ({scenario.workers} workers, {scenario.dispatchers} dispatchers)"
    if not verdict.complete:
        return [f"{line}: {size}, INCOMPLETE: too many states"]
    if not verdict.violation:
        return [f"{line}: {size}, all properties hold"]
    steps = [f"  {number:2}. {text}" for number, text in enumerate(verdict.trace, 1)]
    return [f"{line}: {size}, VIOLATED: {verdict.violation}", *steps]


if __name__ == "__main__":
    sys.exit(main())
