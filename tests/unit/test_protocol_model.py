"""The delivery protocol, in every order of events that a few faults allow."""

from __future__ import annotations

import pkgutil
import re
from dataclasses import fields
from pathlib import Path

import pytest

from protocol.explore import explore
from protocol.model import main
from protocol.scenarios import BOUNDED, SHOWN_BY, Scenario
from protocol.state import Guards

README = (Path(__file__).parents[2] / "protocol/README.md").read_text()
# A row of the table of guards: its name, the place in the code, and the counter-example's length.
ROWS = {
    match[1]: (match[2], int(match[3]))
    for match in re.finditer(r"^\| `(\w+)` \| `([\w.:]+)`.*\| (\d+): ", README, re.MULTILINE)
}
GUARDS = [field.name for field in fields(Guards)]


@pytest.mark.parametrize("scenario", BOUNDED, ids=lambda scenario: scenario.name)
def test_every_promise_holds(scenario: Scenario) -> None:
    """With every guard, no promise is broken, and every state has a way to a clean end."""
    verdict = explore(scenario.start(), Guards())

    assert not verdict.broken, verdict.trace
    assert verdict.complete


@pytest.mark.parametrize("guard", GUARDS)
def test_every_guard_is_needed(guard: str) -> None:
    """Without any one guard a promise is broken, in as many steps as the README says."""
    scenario = SHOWN_BY[guard]

    verdict = explore(scenario.start(), Guards(**{guard: False}))

    assert verdict.broken
    assert len(verdict.trace) == ROWS[guard][1]


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_is_what_makes_the_difference(guard: str) -> None:
    """The scenario that shows what a guard is for breaks nothing while the guard is there."""
    verdict = explore(SHOWN_BY[guard].start(), Guards())

    assert not verdict.broken, verdict.trace


@pytest.mark.parametrize("guard", GUARDS)
def test_the_readme_names_the_place_of_every_guard(guard: str) -> None:
    """The code that the README names for a guard is there."""
    assert pkgutil.resolve_name(ROWS[guard][0])


def test_a_counter_example_is_shown_in_numbered_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """`--without` ends with status 1 and the shortest way to the broken promise."""
    assert main(["--without", "sweep_lower_attempts"]) == 1

    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith("BROKEN: a completed video has no files")
    assert shown[1] == "   1. d0 fetches the request"
    assert len(shown) == 1 + ROWS["sweep_lower_attempts"][1]
