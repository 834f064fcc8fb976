"""What happens elsewhere shows here, and outages end by themselves."""

from __future__ import annotations

import json

from playwright.sync_api import Page, Route, expect

from tests.e2e.client import Client
from tests.e2e.page.conftest import NewContext
from tests.e2e.page.look import LONG, SHORT, card_of, create, expect_state, fill, new_prompt
from tests.harness import RunningStack
from tests.patience import wait_until


def _live(page: Page) -> None:
    expect(page.locator("#live")).to_have_text("Live")


def test_what_a_program_does_shows_without_a_reload(page: Page, kinora: RunningStack) -> None:
    """A video that a program makes appears, its state follows, and its deletion too."""
    _live(page)
    client = Client(kinora.url)
    video = client.create(prompt=new_prompt("made by a program"), num_inference_steps=2)
    card = page.locator(f"article[data-id={video['id']}]")
    expect(card).to_be_visible(timeout=5_000)
    expect_state(card, "completed")
    client.delete(video["id"])
    expect(card).to_have_count(0, timeout=5_000)


def test_places_in_the_queue_and_times_left_are_told(page: Page) -> None:
    """With more videos than replicas, the last ones wait, and know for how long."""
    prompt = new_prompt("a queue")
    fill(page, prompt, **LONG, variations="4")
    page.get_by_role("button", name="Create video").click()
    waiting = card_of(page, prompt).filter(has_text="in the queue")
    expect(waiting.first).to_be_visible()
    expect(waiting.first.locator("[data-part=left]")).to_contain_text("left")
    for card in card_of(page, prompt).all():
        card.get_by_role("button", name="Cancel").click()
    expect(page.locator("article[data-state=cancelled]").first).to_be_visible()


def test_two_tabs_stay_in_step_on_one_feed(new_context: NewContext, kinora: RunningStack) -> None:
    """What one does the other shows; one connection serves both, and outlives its tab."""
    context = new_context()
    feeds: list[str] = []
    context.on("request", lambda r: feeds.append(r.url) if r.url.endswith("/v1/events") else None)
    first, second = context.new_page(), context.new_page()
    for tab in (first, second):
        tab.goto(kinora.url)
        _live(tab)
    assert len(feeds) == 1
    prompt = new_prompt("seen in both tabs")
    expect_state(create(first, prompt, **SHORT), "completed")
    expect_state(card_of(second, prompt), "completed", seconds=5)
    card_of(second, prompt).get_by_role("button", name="Delete").click()
    second.get_by_role("button", name="Close this notice").click()
    expect(card_of(first, prompt)).to_have_count(0)
    # The tab that listens goes; the other one takes over.
    first.close()
    prompt = new_prompt("after the first tab")
    Client(kinora.url).create(prompt=prompt, num_inference_steps=2)
    expect_state(card_of(second, prompt), "completed")
    assert len(feeds) == 2


def test_without_the_feed_it_asks(new_context: NewContext, kinora: RunningStack) -> None:
    """Where event streams don't come through, the page falls back to polling."""
    context = new_context()

    def refuse(route: Route) -> None:
        body = json.dumps({"error": {"message": "Too many event streams are open."}})
        route.fulfill(status=503, body=body, headers={"Retry-After": "10"})

    context.route("**/v1/events", refuse)
    page = context.new_page()
    page.goto(kinora.url)
    expect(page.locator("#live")).to_have_text("Every few seconds")
    client = Client(kinora.url)
    video = client.create(prompt=new_prompt("by polling"), num_inference_steps=2)
    card = page.locator(f"article[data-id={video['id']}]")
    expect_state(card, "completed")
    client.delete(video["id"])
    expect(card).to_have_count(0, timeout=10_000)


def test_offline_is_told_and_ends_by_itself(page: Page, kinora: RunningStack) -> None:
    """What happened in the meantime is there without a reload, and nothing twice."""
    _live(page)
    page.context.set_offline(True)
    banner = page.locator("#banner")
    expect(banner).to_contain_text("You are offline")
    fill(page, "while offline", **SHORT)
    page.get_by_role("button", name="Create video").click()
    expect(page.locator("#form-error")).to_contain_text("can't be reached")
    video = Client(kinora.url).create(prompt=new_prompt("meanwhile"), num_inference_steps=2)
    page.context.set_offline(False)
    expect(banner).to_be_hidden()
    expect_state(page.locator(f"article[data-id={video['id']}]"), "completed")
    _live(page)
    page.get_by_role("button", name="Create video").click()
    expect(card_of(page, "while offline")).to_have_count(1)


def test_a_lost_answer_makes_no_second_video(page: Page, kinora: RunningStack) -> None:
    """The request is repeated with its idempotency key."""
    answers: list[int] = []

    def lose(route: Route) -> None:
        answer = route.fetch()
        answers.append(answer.status)
        if len(answers) == 1:
            route.abort()
        else:
            route.fulfill(response=answer)

    prompt = new_prompt("asked for once")
    page.route(
        f"{kinora.url}/v1/videos", lambda r: lose(r) if r.request.method == "POST" else r.fallback()
    )
    expect_state(create(page, prompt, **SHORT), "completed")
    # The feed may tell of the video before the answer is asked for again.
    wait_until(lambda: page.evaluate("1") == len(answers) - 1, seconds=10, what="asked again")
    assert answers == [202, 202]
    expect(card_of(page, prompt)).to_have_count(1)


def test_a_notification_is_asked_for_and_then_shown(
    new_context: NewContext, kinora: RunningStack
) -> None:
    """Nothing is asked before the button is pressed; then a video that is done is told of."""
    context = new_context()
    # Headless Chromium shows none; what the page asks of the system is what counts.
    context.add_init_script(
        """
        window.shown = []; window.asked = 0;
        window.Notification = class extends EventTarget {
          static permission = "default";
          static async requestPermission() {
            window.asked += 1;
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
    assert page.evaluate("window.asked") == 0
    button = page.get_by_role("button", name="Notify me")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    prompt = new_prompt("to be told of")
    expect_state(create(page, prompt, **SHORT), "completed")
    assert page.evaluate("window.shown") == [f"Completed: {prompt}"]
    assert page.evaluate("window.asked") == 1


def test_who_can_not_see_hears_of_it(page: Page) -> None:
    """State changes are said in a live region."""
    prompt = new_prompt("to be heard of")
    create(page, prompt, **SHORT)
    expect(page.locator("body > .announcer")).to_have_text(f"Completed: {prompt}", timeout=30_000)
