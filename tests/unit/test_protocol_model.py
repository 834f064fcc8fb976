"""Model-checks the delivery protocol in small scenarios with a few faults."""

from __future__ import annotations

import pkgutil
import re
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from protocol.explore import Verdict, explore, explore_fairness
from protocol.fairness import FAIR_BOUNDED, FAIR_NEEDED_IN, FairGuards, FairScenario
from protocol.model import main
from protocol.scenarios import BOUNDED, NEEDED_IN, Scenario
from protocol.state import Guards

README = (Path(__file__).parents[2] / "protocol/README.md").read_text()
# Rows of the table of guards: name, place in the code, and length of the counter-example.
ROWS = {
    match[1]: (match[2], int(match[3]))
    for match in re.finditer(r"^\| `(\w+)` \| `([\w.:]+)`.*\| (\d+): ", README, re.MULTILINE)
}
GUARDS = [field.name for field in fields(Guards)]
FAIR_GUARDS = [field.name for field in fields(FairGuards)]


@cache
def _explore_guarded(scenario: Scenario) -> Verdict:
    """With all guards; several of them are needed in the same scenario."""
    return explore(scenario.start(), Guards())


@pytest.mark.parametrize("scenario", BOUNDED, ids=lambda scenario: scenario.name)
def test_every_property_holds(scenario: Scenario) -> None:
    """With all guards, no property is violated, and a quiescent state can always be reached."""
    verdict = _explore_guarded(scenario)

    assert not verdict.violation, verdict.trace
    assert verdict.complete


@pytest.mark.parametrize("guard", GUARDS)
def test_every_guard_is_needed(guard: str) -> None:
    """Without any one guard, a property is violated in the number of steps the README states."""
    scenario = NEEDED_IN[guard]

    verdict = explore(scenario.start(), Guards(**{guard: False}))

    assert verdict.violation
    assert len(verdict.trace) == ROWS[guard][1]


@pytest.mark.parametrize("guard", GUARDS)
def test_the_guard_makes_the_difference(guard: str) -> None:
    """The scenario in which a guard is needed violates nothing while the guard is on."""
    verdict = _explore_guarded(NEEDED_IN[guard])

    assert not verdict.violation, verdict.trace


@pytest.mark.parametrize("scenario", FAIR_BOUNDED, ids=lambda scenario: scenario.name)
def test_turns_are_bounded_and_fair(scenario: FairScenario) -> None:
    """At most as many as the limit, of a video one, and nobody is overtaken for long."""
    verdict = explore_fairness(scenario.start(), FairGuards())

    assert not verdict.violation, verdict.trace
    assert verdict.complete


@pytest.mark.parametrize("guard", FAIR_GUARDS)
def test_every_guard_of_turns_makes_the_difference(guard: str) -> None:
    """With it nothing is violated; without it, in the number of steps that the README states."""
    scenario = FAIR_NEEDED_IN[guard]

    assert not explore_fairness(scenario.start(), FairGuards()).violation

    verdict = explore_fairness(scenario.start(), FairGuards(**{guard: False}))

    assert verdict.violation
    assert len(verdict.trace) == ROWS[guard][1]


@pytest.mark.parametrize("guard", [*GUARDS, *FAIR_GUARDS])
def test_the_readme_names_the_place_of_every_guard(guard: str) -> None:
    """The code that the README names for a guard exists."""
    assert pkgutil.resolve_name(ROWS[guard][0])


def test_a_counter_example_has_numbered_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """`--without` prints the shortest counter-example and exits with status 1."""
    assert main(["--without", "sweep_only_lower_attempts"]) == 1

    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith("VIOLATED: a completed video has no files")
    assert shown[1] == "   1. a turn is proposed"
    assert len(shown) == 1 + ROWS["sweep_only_lower_attempts"][1]
