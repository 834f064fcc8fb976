"""A real Chromium with the page of a running stack."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.accounts import write_accounts
from tests.e2e.page.browsers import launch
from tests.e2e.page.crowd import publish
from tests.e2e.page.page_actions import patient, watched
from tests.harness import RunningStack


class Chromium:
    """One browser for all tests of this folder, started by the first."""

    def __init__(self) -> None:
        self._open: ExitStack | None = None
        self._browser: Browser | None = None

    def browser(self) -> Browser:
        """The running browser."""
        if self._browser is None:
            self._open = ExitStack()
            self._browser = launch(self._open.enter_context(sync_playwright()))
            self._open.callback(self._browser.close)
        return self._browser

    def close(self) -> None:
        """End the browser, and Playwright."""
        if self._open is not None:
            self._open.close()
        self._open = self._browser = None


CHROMIUM = Chromium()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Generator[None]:
    """End the browser after the folder's last test, not after the session's.

    Playwright keeps an event loop running in the tests' thread, so that tests of other folders in
    the same process could not start one.
    """
    yield
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        CHROMIUM.close()


@pytest.fixture
def browser() -> Browser:
    """The browser, in which each test has its own profiles."""
    return CHROMIUM.browser()


@pytest.fixture(autouse=True)
def _expect_patiently() -> None:
    """Expectations wait as long as the machine needs: Playwright's 5 s, where it is idle."""
    expect.set_options(timeout=patient(5))


NewContext = Callable[..., BrowserContext]

# A message closes after seven seconds, in which a busy machine may not reach its button.
PATIENT_TOASTS = """
{
  const later = window.setTimeout;
  window.setTimeout = (act, wait, ...rest) => later(act, wait === 7000 ? 120000 : wait, ...rest);
}
"""


@pytest.fixture
def new_context(browser: Browser) -> Iterator[NewContext]:
    """Opens new browser profiles. Errors in the page's scripts fail the test."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def new(**settings: Any) -> BrowserContext:
        context = browser.new_context(**settings)
        context.set_default_timeout(patient(20))
        context.add_init_script(PATIENT_TOASTS)
        contexts.append(context)
        context.on("page", lambda page: watched(page, problems))
        return context

    yield new
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(new_context: NewContext, kinora: RunningStack) -> Page:
    """The page, open in a new profile."""
    page = new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(kinora.url)
    return page


ACCOUNTS = ("crowd", "street", "lane", "solo", "waiting", "empty", "previewed")
KEYS = {f"{name}-key": name for name in ACCOUNTS}


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack with API keys and without `generate`. `crowd` has 10,000 videos, `street` has 150."""
    folder = tmp_path_factory.mktemp("keyed")
    accounts = write_accounts(folder / "accounts", KEYS)
    stack = RunningStack(folder / "data", {"ACCOUNTS_FILE": accounts})
    # Nothing has to survive the stack, so ten thousand messages need no sync to disk each.
    config = stack.stack.data / "nats.conf"
    config.write_text(config.read_text().replace("sync_interval: always", "sync_interval: 1m"))
    try:
        stack.start_servers()
        publish(stack.nats_url, "crowd")
        publish(stack.nats_url, "street", 150, "Straße {}".format)
        stack.start("submit", "status", "gateway")
        yield stack
    finally:
        stack.close()


@pytest.fixture
def signed_in(new_context: NewContext, keyed: RunningStack) -> Callable[..., Page]:
    """Opens the page signed in to an account; further settings are for the browser profile."""

    def open_page(key: str, path: str = "/", **settings: Any) -> Page:
        context = new_context(**{"viewport": {"width": 1280, "height": 800}, **settings})
        # Only once, so that a test can sign out. The initial about:blank has no storage.
        script = (
            "if (location.protocol === 'http:' && !sessionStorage.getItem('signed-in')) {"
            " sessionStorage.setItem('signed-in', 'yes');"
            f" localStorage.setItem('kinora.api-key', '{key}') }}"
        )
        context.add_init_script(script)
        page = context.new_page()
        page.goto(keyed.url + path)
        return page

    return open_page


@pytest.fixture
def waiting(signed_in: Callable[..., Page]) -> Page:
    """The page of an account whose videos stay in the queue, for what needs none rendered."""
    return signed_in("waiting-key")
