"""What holds for the whole page: whom it asks, what it weighs, and that everybody can use it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import pytest
from playwright.sync_api import Browser, Page, expect

from local.stack import ROOT
from tests.e2e.page.conftest import NewContext
from tests.e2e.page.crowd import prompt_of
from tests.e2e.page.look import card_of
from tests.harness import RunningStack
from tests.patience import wait_until

Open = Callable[..., Page]

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = ("gallery", "no match", "detail", "failure", "empty", "queued", "wrong form", "sign-in")

# Notes when the first card of the list has been drawn. It comes into the document in a frame's
# callback; a message sent then is handled when that frame has been drawn.
FIRST_CARD = """
new MutationObserver((_, observer) => {
  if (!document.querySelector('.card')) return;
  observer.disconnect();
  const channel = new MessageChannel();
  channel.port1.onmessage = () => (window.drawn = performance.now());
  channel.port2.postMessage(null);
}).observe(document, { childList: true, subtree: true });
"""
WEIGHT = """
[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .filter((entry) => !entry.name.includes('/content'))
  .map((entry) => [entry.name, entry.transferSize])
"""


def test_everything_comes_from_this_server(browser: Browser, kinora: RunningStack) -> None:
    """No request leaves for anybody else, and the policy in force would not let it."""
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
    """Open the page with nothing in the browser's cache: milliseconds, and bytes transferred."""
    context = new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(FIRST_CARD)
    context.add_init_script("try { localStorage['kinora.api-key'] = 'crowd-key' } catch {}")
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator(".card").first).to_be_visible()
    drawn = wait_until(partial(page.evaluate, "window.drawn"), seconds=5, what="it is drawn")
    sizes = dict(page.evaluate(WEIGHT))
    context.close()
    assert len(sizes) > 20, "the page's files are counted"
    return float(drawn), sum(sizes.values())


def _share() -> float:
    """What share of a core a process gets at the moment: other tests run beside this one."""
    wall, cpu = time.perf_counter(), time.thread_time()
    while time.perf_counter() - wall < 0.2:
        pass
    return (time.thread_time() - cpu) / (time.perf_counter() - wall)


def test_it_is_light_and_shows_the_list_soon(
    new_context: NewContext, keyed: RunningStack, record_property: Callable[[str, object], None]
) -> None:
    """Without videos under 100 kB, and the first of 10,000 videos drawn within half a second.

    From the start of the navigation, at first sight: the median, where the machine is free. Where
    other tests run beside this one, and slow each of the five processes down that take part, the
    load that was disturbed least counts, with the share of a core that was to be had.
    """
    loads: list[tuple[float, float, float]] = []
    for _ in range(7):
        share = _share()
        milliseconds, size = _load(new_context, keyed.url)
        loads.append((milliseconds, min(share, _share()), size))
    free = all(share > 0.9 for _, share, _ in loads)
    median = statistics.median(milliseconds for milliseconds, _, _ in loads)
    alone = min(milliseconds * share for milliseconds, share, _ in loads)
    record_property("first list drawn: median, and undisturbed (ms)", (median, alone))
    record_property("transferred (bytes)", max(size for _, _, size in loads))
    assert max(size for _, _, size in loads) < 100_000
    assert (median if free else alone) < 500, loads


def _show(view: str, signed_in: Open, **settings: str) -> Page:
    """Open the page in one of its states."""
    if view in {"gallery", "no match", "detail", "failure"}:
        path = {"no match": "/?q=nothing+like+it", "detail": "/videos/video_00000"}
        path |= {"failure": "/videos/video_00003"}
        page = signed_in("crowd-key", path.get(view, "/"), **settings)
        awaited = {
            "gallery": card_of(page, prompt_of(0)),
            "no match": page.get_by_text("No video matches."),
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
        page.get_by_label("Prompt", exact=True).fill("it waits")
    if view in {"queued", "wrong form"}:
        page.get_by_role("button", name="Create video").click()
        shown = page.locator(".card").first if view == "queued" else page.locator("#prompt-error")
        expect(shown).to_be_visible()
    return page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(signed_in: Open, view: str, theme: str) -> None:
    """Roles, names, contrast and the rest of WCAG 2.2 AA that a program can see, in every state."""
    page = _show(view, signed_in, color_scheme=theme)
    page.evaluate(AXE.read_text())
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    options = {"runOnly": {"type": "tag", "values": tags}}
    result = page.evaluate("(options) => axe.run(document, options)", options)
    assert len(result["passes"]) > 10, "it looked"
    assert [(v["id"], [n["target"] for n in v["nodes"]]) for v in result["violations"]] == []


@pytest.mark.parametrize("width", [320, 390, 820, 1280, 2560])
def test_nothing_runs_out_of_the_page(signed_in: Open, width: int) -> None:
    """From a small phone to a wide screen, nothing has to be scrolled sideways."""
    for view in ("gallery", "detail", "wrong form"):
        page = _show(view, signed_in, viewport={"width": width, "height": 800})  # type: ignore[arg-type]  # a setting of the browser's
        wide = page.evaluate(
            "[document.documentElement.scrollWidth - innerWidth,"
            " ...[...document.querySelectorAll('.masthead, .about, .scroll')]"
            ".map((e) => e.scrollWidth - e.clientWidth)]"
        )
        assert max(wide) <= 0, (view, wide)


def test_the_theme_is_chosen_and_kept(signed_in: Open) -> None:
    """The system's theme, until another is chosen; a reload keeps it, and shows no other first."""
    page = signed_in("crowd-key", color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_label("Theme").select_option("dark")
    dark = page.evaluate(background)
    assert light != dark
    page.reload(wait_until="commit")
    expect(page.locator("#theme")).to_be_attached()
    assert page.evaluate(background) == dark
    expect(page.get_by_label("Theme")).to_have_value("dark")
