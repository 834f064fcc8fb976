"""Qualities of the whole page: its own server only, small, fast, and accessible."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from local.stack import ROOT
from tests.e2e.page.conftest import NewContext
from tests.e2e.page.crowd import prompt_of
from tests.e2e.page.page_actions import card_of, unfold
from tests.harness import RunningStack
from tests.patience import wait_until

Open = Callable[..., Page]

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
# What axe runs: its checks of these standards, or those that depend on colours.
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
ALL = {"type": "tag", "values": STANDARDS}
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
VIEWS = ("gallery", "no match", "detail", "failure", "empty", "queued", "wrong form", "sign-in")

# From the start of the navigation until the first card is painted, on an idle machine.
MOST_MS = 500

# Records when the first card is painted. It is added in a frame's callback; a message sent then is
# handled right after that frame is painted.
FIRST_CARD = """
new MutationObserver((_, observer) => {
  if (!document.querySelector('.card')) return;
  observer.disconnect();
  const channel = new MessageChannel();
  channel.port1.onmessage = () => (window.drawn = performance.now());
  channel.port2.postMessage(null);
}).observe(document, { childList: true, subtree: true });
"""
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
# After which the page has reacted to its new size.
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
WEIGHT = """
[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .filter((entry) => !entry.name.includes('/content'))
  .map((entry) => [entry.name, entry.transferSize])
"""


def test_everything_comes_from_this_server(browser: Browser, kinora: RunningStack) -> None:
    """The page makes no request to another server, and its security policy forbids any."""
    context = browser.new_context()
    page = context.new_page()
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    answer = page.goto(kinora.url)
    expect(page.locator("#live")).to_have_text("Live")
    context.close()
    assert hosts == {kinora.url.removeprefix("http://")}
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def _load(new_context: NewContext, url: str) -> tuple[float, float]:
    """Open the page with an empty cache; return milliseconds and bytes transferred."""
    context = new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(FIRST_CARD)
    context.add_init_script("try { localStorage['kinora.api-key'] = 'crowd-key' } catch {}")
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator(".card").first).to_be_visible()
    drawn = wait_until(
        partial(page.evaluate, "window.drawn"), seconds=5, what="the first card is painted"
    )
    sizes = dict(page.evaluate(WEIGHT))
    context.close()
    assert len(sizes) > 20, "the page's files are counted"
    return float(drawn), sum(sizes.values())


def _share() -> float:
    """The share of a core that a process gets at the moment, beside other tests."""
    wall, cpu = time.perf_counter(), time.thread_time()
    while time.perf_counter() - wall < 0.2:
        pass
    return (time.thread_time() - cpu) / (time.perf_counter() - wall)


def test_the_page_is_small_and_shows_the_list_quickly(
    new_context: NewContext, keyed: RunningStack, record_property: Callable[[str, object], None]
) -> None:
    """Under 110 kB without videos, and the first of 10,000 videos is painted within 500 ms.

    Counted from the start of the navigation with an empty cache: the median on an idle machine.
    Other tests slow down all five processes involved; beside them, the fastest load counts, times
    the share of a core that was available.
    """
    loads: list[tuple[float, float, float]] = []
    # The median of seven is below the limit as soon as four of them are.
    while len(loads) < 7 and sum(found < MOST_MS for found, _, _ in loads) < 4:
        share = _share()
        milliseconds, size = _load(new_context, keyed.url)
        loads.append((milliseconds, min(share, _share()), size))
    free = all(share > 0.9 for _, share, _ in loads)
    fourth = sorted(milliseconds for milliseconds, _, _ in loads)[3]
    alone = min(milliseconds * share for milliseconds, share, _ in loads)
    record_property("first list painted: the fourth, and corrected for load (ms)", (fourth, alone))
    record_property("transferred (bytes)", max(size for _, _, size in loads))
    assert max(size for _, _, size in loads) < 110_000
    assert (fourth if free else alone) < MOST_MS, loads


def _show(view: str, signed_in: Open, **settings: Any) -> Page:
    """Open the page in one of its states."""
    if view in {"gallery", "no match", "detail", "failure"}:
        path = {"no match": "/?q=nothing+like+it", "detail": "/videos/video_00000"}
        path |= {"failure": "/videos/video_00003"}
        page = signed_in("crowd-key", path.get(view, "/"), **settings)
        awaited = {
            "gallery": card_of(page, prompt_of(0)),
            "no match": page.get_by_text("No videos found."),
            "detail": page.locator("#detail .facts"),
            "failure": page.locator("#detail").get_by_text("The engine stopped three times."),
        }
        expect(awaited[view]).to_be_visible()
        return page
    keys = {"sign-in": "unknown-key", "empty": "empty-key"}
    page = signed_in(keys.get(view, "solo-key"), **settings)
    if view == "sign-in":
        expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
        return page
    expect(page.locator("#size input").first).to_be_attached()
    if view == "empty":
        expect(page.get_by_text("No videos yet.")).to_be_visible()
    if view == "queued":
        page.get_by_label("Prompt", exact=True).fill("it is queued")
    if view in {"queued", "wrong form", "form"}:
        unfold(page)
    if view in {"queued", "wrong form"}:
        page.get_by_role("button", name="Create video").click()
        shown = page.locator(".card").first if view == "queued" else page.locator("#prompt-error")
        expect(shown).to_be_visible()
    return page


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(signed_in: Open, view: str) -> None:
    """Every state passes axe's checks of WCAG 2.2 AA in both themes: names, contrast and more."""
    page = _show(view, signed_in, color_scheme="light")
    backgrounds = {_check(page)}
    page.emulate_media(color_scheme="dark")
    # Only colours depend on the theme.
    backgrounds.add(_check(page, COLOURS))
    assert len(backgrounds) == 2, "they differ"


@pytest.mark.parametrize("view", ["gallery", "form", "wrong form"])
def test_axe_finds_nothing_on_a_phone(signed_in: Open, view: str) -> None:
    """With the form folded, and with the form that covers the gallery."""
    _check(_show(view, signed_in, viewport={"width": 390, "height": 844}))


def _check(page: Page, checks: Mapping[str, object] = ALL) -> str:
    """Check the page as it is; return the colour of its background."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    result = page.evaluate("(checks) => axe.run(document, { runOnly: checks })", checks)
    ran = {check["id"] for check in result["passes"]}
    assert "color-contrast" in ran, "axe ran its checks"
    assert checks is not ALL or len(ran) > 10
    assert [(v["id"], [n["target"] for n in v["nodes"]]) for v in result["violations"]] == []
    return str(page.evaluate(BACKGROUND))


def test_every_control_says_what_it_does(signed_in: Open) -> None:
    """Each has a name, and the name says what happens, also where only screen readers read it."""
    gallery = _controls(_show("gallery", signed_in))
    detail = _controls(_show("detail", signed_in))
    assert "" not in gallery + detail
    assert {"Theme", "System theme", "Reset settings", "Search prompts"} <= set(gallery)
    assert {"Download poster", "Copy curl command", "Copy Python program"} <= set(detail)


def _controls(page: Page) -> list[str]:
    """The accessible names of the controls that can be reached."""
    roles = "button|checkbox|combobox|link|option|radio|searchbox|spinbutton|textbox"
    snapshot = page.locator("body").aria_snapshot()
    return re.findall(rf"^ *- (?:{roles})(?: \"(.*?)\")?(?=[: ]|$)", snapshot, re.MULTILINE)


@pytest.mark.parametrize("view", ["gallery", "detail", "wrong form"])
def test_no_view_scrolls_sideways(signed_in: Open, view: str) -> None:
    """From small phones to wide screens, also when a window is resized."""
    page = _show(view, signed_in, viewport={"width": 320, "height": 800})
    for width in (320, 390, 820, 1280, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate(TWO_FRAMES)
        wide = page.evaluate(
            "[document.documentElement.scrollWidth - innerWidth,"
            " ...[...document.querySelectorAll('.masthead, .about, .scroll')]"
            ".map((e) => e.scrollWidth - e.clientWidth)]"
        )
        assert max(wide) <= 0, (width, wide)


def test_the_theme_is_chosen_and_kept(signed_in: Open) -> None:
    """The system's theme is the default; a choice survives a reload, with no flash of the other."""
    page = signed_in("crowd-key", color_scheme="light")
    light = page.evaluate(BACKGROUND)
    page.get_by_label("Theme").select_option("dark")
    dark = page.evaluate(BACKGROUND)
    assert light != dark
    page.reload(wait_until="commit")
    expect(page.locator("#theme")).to_be_attached()
    assert page.evaluate(BACKGROUND) == dark
    expect(page.get_by_label("Theme")).to_have_value("dark")
