"""The documentation matches the code, as far as a program can check."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from functions.shared.api.gunicorn import limit_request_fields
from functions.shared.api.gunicorn_worker import REQUEST_SECONDS, SEND_SECONDS
from functions.shared.api.parameters import MAX_LIMIT, MAX_SEARCH_CHARACTERS
from functions.shared.config import Settings
from functions.shared.streams.cloudevents import MAX_BATCH
from functions.shared.streams.validation import MAX_EVENT_BYTES
from functions.shared.video.requests import MAX_METADATA_PAIRS, MAX_PROMPT_CHARACTERS
from functions.status.app import MAX_DOWNLOADS, MAX_FEEDS, MAX_FEEDS_OF_ACCOUNT
from functions.status.feeds.feed import STALL_SECONDS
from functions.status.listing.time_limit import MAX_QUERY_SECONDS
from functions.submit.app import MAX_DELETIONS
from tests.manifests import kubectl

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/**/*.md")]
    if "node_modules" not in page.parts
)


def test_pages_name_tests_that_exist() -> None:
    """Each test that a page names, such as those of the promises, can be looked up."""
    defined = set(
        re.findall(
            r"^ *(?:async )?def (test_\w+)",
            "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py")),
            re.MULTILINE,
        )
    )
    named = {page: set(re.findall(r"`(test_\w+)`", page.read_text())) for page in PAGES}
    assert named[ROOT / "ARCHITECTURE.md"]
    assert not {page: tests - defined for page, tests in named.items() if tests - defined}


def test_generated_files_are_up_to_date() -> None:
    """The table of settings and the OpenAPI document match the code."""
    check = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    assert subprocess.run(check, check=False).returncode == 0, "run `python docs/generate.py`"


@pytest.mark.parametrize(
    ("row", "limits"),
    [
        ("body of a request", [Settings().max_body_bytes >> 10]),
        ("a request with its defaults, as an event", [MAX_EVENT_BYTES >> 10]),
        ("`prompt`, `negative_prompt`", [MAX_PROMPT_CHARACTERS]),
        ("`metadata`", [MAX_METADATA_PAIRS]),
        ("a batch of CloudEvents", [MAX_BATCH]),
        ("`q`", [MAX_SEARCH_CHARACTERS, MAX_QUERY_SECONDS]),
        ("a page of the list", [MAX_LIMIT]),
        ("headers", [limit_request_fields]),
        ("time to send a request", [int(REQUEST_SECONDS)]),
        ("time without reading a response", [SEND_SECONDS, int(STALL_SECONDS)]),
        ("requests a second", [int(Settings().account_requests_per_second)]),
        ("open event streams", [MAX_FEEDS, MAX_FEEDS_OF_ACCOUNT]),
        ("thumbnails, spritesheets and previews at a time", [MAX_DOWNLOADS]),
        ("deletions at a time", [MAX_DELETIONS]),
    ],
)
def test_the_limits_in_the_readme_are_those_of_the_code(row: str, limits: list[float]) -> None:
    """A reader relies on the table."""
    readme = (ROOT / "README.md").read_text()
    written = next(line for line in readme.splitlines() if line.startswith(f"| {row} |"))
    for limit in limits:
        assert re.search(rf"(?<![0-9.]){limit:,}(?![0-9.])", written), (limit, written)


def test_every_setting_has_a_description() -> None:
    """Every setting has a description."""
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_exist(page: Path) -> None:
    """Relative links, and paths in backticks, point to existing files."""
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link
    folders = "functions|demo|protocol|benchmarks|tests|docs|local|ui|event-schemas"
    for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_anchors_exist(page: Path) -> None:
    """A link to a section leads to its heading, as GitHub names it."""
    for link, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        target = page.parent / link if link else page
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        assert anchor in {_slug(heading) for heading in headings}, (link, anchor)


def _slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_decision_has_all_sections() -> None:
    """Context, options, decision, consequences, on at most one page."""
    pages = list((ROOT / "docs" / "decisions").glob("*.md"))
    assert pages
    for page in pages:
        text = page.read_text()
        for heading in ("## Context", "## Options", "## Decision", "## Consequences"):
            assert heading in text, (page.name, heading)
        assert len(text.splitlines()) <= 60, f"{page.name} is more than a page"


@pytest.mark.parametrize("page", ["knative/README.md", "docs/operating.md"])
def test_kubectl_knows_the_options_of_the_commands_of_a_page(page: str) -> None:
    """A command for an emergency must not be refused for a misspelt option."""
    text = (ROOT / page).read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    commands = re.findall(
        r"^\s*(?:\S+=\"?\$\()?kubectl (?:-n \S+ )?(\S+)(.*)$", blocks, re.MULTILINE
    )
    assert len(commands) > 5
    for verb, rest in commands:
        # The options of `create` depend on what is created.
        kind = rest.split()[:2] if verb == "create" else []
        known = _kubectl(verb, *kind, "--help") + _kubectl("options")
        for option in re.findall(r" (--[a-z-]+)", rest.partition(" #")[0]):
            assert f"{option}=" in known, (verb, option)


@cache
def _kubectl(*words: str) -> str:
    return subprocess.run([kubectl(), *words], capture_output=True, text=True, check=True).stdout
