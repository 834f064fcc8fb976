"""A real Chromium with the page of a running stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.accounts import write_accounts
from tests.e2e.page.browsers import launch
from tests.e2e.page.crowd import publish
from tests.e2e.page.page_actions import watched
from tests.harness import RunningStack
from tests.patience import scaled


# Not for the session: Playwright keeps an event loop running in the tests' thread, so that tests of
# other folders in the same process could not start one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a module; each test has its own profile."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def _expect_patiently() -> None:
    """Expectations wait as long as the machine needs: Playwright's 5 s, where it is idle."""
    expect.set_options(timeout=scaled(5) * 1000)


NewContext = Callable[..., BrowserContext]


@pytest.fixture
def new_context(browser: Browser) -> Iterator[NewContext]:
    """Opens new browser profiles. Errors in the page's scripts fail the test."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def new(**settings: Any) -> BrowserContext:
        context = browser.new_context(**settings)
        context.set_default_timeout(scaled(20) * 1000)
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


KEYS = {f"{name}-key": name for name in ("crowd", "street", "lane", "solo", "empty")}


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
