"""Live updates: changes elsewhere appear on the page, and it recovers from outages."""

from __future__ import annotations

import json

import requests
from playwright.sync_api import BrowserContext, Page, Request, Route, expect

from tests.e2e.client import TINY, Client
from tests.e2e.page.conftest import NewContext
from tests.e2e.page.page_actions import (
    LONG,
    SHORT,
    card_of,
    create,
    expect_state,
    fill,
    new_prompt,
    patient,
)
from tests.engines import Engines
from tests.harness import RunningStack
from tests.patience import scaled, wait_until

# In ms. An idle page with an event stream reads the list again after a minute: what it shows before
# that, it knows from the stream.
BEFORE_IT_READS_AGAIN = 50_000


class OpenStreams:
    """The event streams that a profile's tabs read at the moment."""

    def __init__(self, context: BrowserContext) -> None:
        self._open: list[Request] = []
        context.on("request", self._begun)
        context.on("requestfailed", self._ended)
        context.on("requestfinished", self._ended)

    def readers(self) -> list[Page]:
        """The tab of each; a busy machine may have ended one, and begun another."""
        pages = [request.frame.page for request in self._open]
        return [page for page in pages if not page.is_closed()]

    def _begun(self, request: Request) -> None:
        if request.url.endswith("/v1/events"):
            self._open.append(request)

    def _ended(self, request: Request) -> None:
        if request in self._open:
            self._open.remove(request)


def _live(page: Page) -> None:
    expect(page.locator("#live")).to_have_text("Live")


def test_changes_by_programs_appear_without_a_reload(page: Page, kinora: RunningStack) -> None:
    """A video created by a program appears, its state is updated, and its deletion removes it."""
    _live(page)
    client = Client(kinora.url)
    video = client.create(prompt=new_prompt("made by a program"), **TINY)
    card = page.locator(f"article[data-id={video['id']}]")
    expect(card).to_be_visible(timeout=BEFORE_IT_READS_AGAIN)
    expect_state(card, "completed")
    client.delete(video["id"])
    expect(card).to_have_count(0, timeout=BEFORE_IT_READS_AGAIN)


def test_queued_videos_show_their_place_and_the_time_left(page: Page, engines: Engines) -> None:
    """With more videos than replicas, the others show their place and the estimated time."""
    engines.hold()
    prompt = new_prompt("a queue")
    fill(page, prompt, **LONG, variations="4")
    page.get_by_role("button", name="Create video").click()
    waiting = card_of(page, prompt).filter(has_text="in queue")
    expect(waiting.first).to_be_visible()
    expect(waiting.first.locator("[data-part=left]")).to_contain_text("left")
    for card in card_of(page, prompt).all():
        card.get_by_role("button", name="Cancel").click()
    expect(page.locator("article[data-state=cancelled]").first).to_be_visible()


def test_two_tabs_stay_in_sync_over_one_event_stream(
    new_context: NewContext, kinora: RunningStack
) -> None:
    """Changes in one tab appear in the other; they share a connection, which outlives its tab."""
    context = new_context()
    streams = OpenStreams(context)
    first, second = context.new_page(), context.new_page()
    for tab in (first, second):
        tab.goto(kinora.url)
        _live(tab)
    assert len(streams.readers()) == 1
    prompt = new_prompt("seen in both tabs")
    expect_state(create(first, prompt, **SHORT), "completed")
    expect_state(card_of(second, prompt), "completed", seconds=5)
    card_of(second, prompt).get_by_role("button", name="Delete").click()
    second.get_by_role("button", name="Dismiss").click()
    expect(card_of(first, prompt)).to_have_count(0)
    # The tab that reads the stream is closed, and the other takes over.
    assert streams.readers() == [first]
    first.close()
    prompt = new_prompt("after the first tab")
    Client(kinora.url).create(prompt=prompt, **TINY)
    expect_state(card_of(second, prompt), "completed")
    assert streams.readers() == [second]


def test_without_the_event_stream_the_page_polls(
    new_context: NewContext, kinora: RunningStack
) -> None:
    """Where event streams are blocked, the page falls back to polling."""
    context = new_context()

    def refuse(route: Route) -> None:
        body = json.dumps({"error": {"message": "Too many event streams are open."}})
        route.fulfill(status=503, body=body, headers={"Retry-After": "10"})

    context.route("**/v1/events", refuse)
    page = context.new_page()
    page.goto(kinora.url)
    expect(page.locator("#live")).to_have_text("Polling")
    client = Client(kinora.url)
    video = client.create(prompt=new_prompt("by polling"), **TINY)
    card = page.locator(f"article[data-id={video['id']}]")
    expect_state(card, "completed")
    client.delete(video["id"])
    expect(card).to_have_count(0, timeout=patient(10))


def test_offline_shows_a_banner_until_the_page_reconnects(page: Page, kinora: RunningStack) -> None:
    """Changes during the outage appear without a reload, and nothing is created twice."""
    _live(page)
    page.context.set_offline(True)
    banner = page.locator("#banner")
    expect(banner).to_contain_text("You're offline")
    fill(page, "while offline", **SHORT)
    page.get_by_role("button", name="Create video").click()
    expect(page.locator("#form-error")).to_contain_text("Can't reach the server")
    video = Client(kinora.url).create(prompt=new_prompt("meanwhile"), **TINY)
    page.context.set_offline(False)
    expect(banner).to_be_hidden()
    expect_state(page.locator(f"article[data-id={video['id']}]"), "completed")
    _live(page)
    page.get_by_role("button", name="Create video").click()
    expect(card_of(page, "while offline")).to_have_count(1)


def test_the_page_says_why_videos_wait(page: Page, kinora: RunningStack) -> None:
    """While the object store is away, new videos are accepted; the reason is above them."""
    _live(page)
    kinora.kill("s3")
    try:
        # `submit` may have written to the store just before.
        wait_until(
            lambda: requests.get(f"{kinora.url}/health", timeout=scaled(10)).status_code == 503,
            seconds=20,
            what="/health knows it",
        )
        video = Client(kinora.url).create(prompt=new_prompt("while the store is away"), **TINY)
        banner = page.locator("#banner")
        reason = "Videos wait: The object store refuses connections"
        expect(banner).to_contain_text(reason, timeout=patient(15))
    finally:
        kinora.start("s3")
    expect_state(page.locator(f"article[data-id={video['id']}]"), "completed")
    expect(banner).to_be_hidden(timeout=patient(15))


def test_a_lost_response_creates_no_second_video(page: Page, kinora: RunningStack) -> None:
    """The request is retried with the same idempotency key."""
    statuses: list[int] = []

    def lose(route: Route) -> None:
        response = route.fetch()
        statuses.append(response.status)
        if len(statuses) == 1:
            route.abort()
        else:
            route.fulfill(response=response)

    prompt = new_prompt("created once")
    page.route(
        f"{kinora.url}/v1/videos", lambda r: lose(r) if r.request.method == "POST" else r.fallback()
    )
    expect_state(create(page, prompt, **SHORT), "completed")
    # The event stream may report the video before the request is retried.
    wait_until(
        lambda: page.evaluate("1") == len(statuses) - 1, seconds=10, what="the request is retried"
    )
    assert statuses == [200, 200]
    expect(card_of(page, prompt)).to_have_count(1)


def test_notifications_start_with_a_click_on_their_button(
    new_context: NewContext, kinora: RunningStack
) -> None:
    """The page asks for permission only after the click, and then reports completed videos."""
    context = new_context()
    # Headless Chromium has no notifications, so the page's calls are recorded.
    context.add_init_script(
        """
        window.shown = []; window.requests = 0;
        window.Notification = class extends EventTarget {
          static permission = "default";
          static async requestPermission() {
            window.requests += 1;
            return (this.permission = "granted");
          }
          constructor(title, options) { super(); window.shown.push(title); }
          close() {}
        };
        document.hasFocus = () => false;
        """
    )
    page = context.new_page()
    page.goto(kinora.url)
    _live(page)
    assert page.evaluate("window.requests") == 0
    button = page.get_by_role("button", name="Notify me")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    prompt = new_prompt("to be notified of")
    expect_state(create(page, prompt, **SHORT), "completed")
    assert page.evaluate("window.shown") == [f"Completed: {prompt}"]
    assert page.evaluate("window.requests") == 1


def test_state_changes_are_announced_to_screen_readers(page: Page) -> None:
    """State changes are written to a live region."""
    prompt = new_prompt("to be announced")
    create(page, prompt, **SHORT)
    expect(page.locator("body > .announcer")).to_have_text(
        f"Completed: {prompt}", timeout=patient(30)
    )
