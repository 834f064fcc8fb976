"""From a prompt to a video, as people do it: a real Chromium against a real stack."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.client import Client
from tests.e2e.page.conftest import NewContext
from tests.e2e.page.page_actions import (
    LONG,
    SHORT,
    card_of,
    create,
    expect_state,
    fill,
    new_prompt,
    open_detail,
    patient,
)
from tests.engines import Engines
from tests.harness import RunningStack

# Collects each value of a video's progress bar as `seen`, until the video is completed.
WATCH_PROGRESS = """
(id) => {
  window.seen = [];
  const look = () => {
    const card = document.querySelector(`[data-id="${id}"]`);
    const bar = card.querySelector('progress');
    if (bar.checkVisibility()) window.seen.push(bar.value);
    if (card.dataset.state !== 'completed') requestAnimationFrame(look);
  };
  look();
}
"""


def test_type_submit_and_watch_it_become_a_video(page: Page, engines: Engines) -> None:
    """Stage, progress and time left are shown meanwhile, and then the poster."""
    engines.hold()
    settings = {"size": "160x96", "num_frames": "13", "num_inference_steps": "60"}
    card = create(page, new_prompt("a red circle moving right"), **settings)
    bar = card.get_by_role("progressbar")
    expect(bar).to_be_visible()
    video_id = str(card.get_attribute("data-id"))
    page.evaluate(WATCH_PROGRESS, video_id)
    replica = engines.rendering(video_id)
    for _ in range(2):
        before = bar.evaluate("e => e.value")
        engines.hold_mid_video(replica)
        expect(bar).not_to_have_js_property("value", before, timeout=patient(10))
    expect(card.locator("[data-part=stage]")).to_contain_text("Denoising")
    time_left = re.compile("left|almost done|longer than usual")
    expect(card.locator("[data-part=left]")).to_have_text(time_left)
    engines.resume()
    expect_state(card, "completed")
    seen = page.evaluate("seen")
    assert seen == sorted(seen)
    assert len({value for value in seen if 0 < value < 100}) >= 2, "the bar moved"
    image = card.locator("img:not(.preview)")
    expect(image).to_be_visible()
    assert image.evaluate("e => [e.naturalWidth, e.naturalHeight]") == [160, 96]


def test_a_card_plays_under_the_pointer_or_the_focus(page: Page) -> None:
    """The video plays muted under the pointer or the focus, and is removed afterwards."""
    card = create(page, new_prompt("it plays"), **SHORT)
    expect_state(card, "completed")
    assert card.locator("video").count() == 0, "nothing is loaded before"
    card.hover()
    video = card.locator("video")
    expect(video).to_have_class("playing")
    assert video.evaluate("e => e.muted && e.loop && e.currentTime >= 0 && !e.paused")
    page.mouse.move(0, 0)
    expect(video).to_have_count(0)
    card.get_by_role("link").focus()
    expect(card.locator("video")).to_have_class("playing")


def test_reduced_motion_shows_stills(new_context: NewContext, kinora: RunningStack) -> None:
    """With reduced motion, nothing plays automatically."""
    page = new_context(reduced_motion="reduce").new_page()
    page.goto(kinora.url)
    card = create(page, new_prompt("it stands still"), **SHORT)
    expect_state(card, "completed")
    expect(card.locator("img:not(.preview)")).to_be_visible()
    card.hover()
    video = open_detail(card).locator("video")
    expect(video).to_be_visible()
    assert video.evaluate("e => e.paused")
    assert card.locator("video").count() == 0


def test_variations_have_different_seeds(waiting: Page, keyed: RunningStack) -> None:
    """Ctrl+Enter creates four videos of one prompt, each with its own seed."""
    page, client = waiting, Client(keyed.url, "waiting-key")
    prompt = new_prompt("four of it")
    fill(page, prompt, **SHORT, variations="4", seed="4294967294")
    page.get_by_label("Prompt", exact=True).press("Control+Enter")
    expect(card_of(page, prompt)).to_have_count(4)
    ids = [card.get_attribute("data-id") for card in card_of(page, prompt).all()]
    seeds = {client.get(str(video_id))["seed"] for video_id in ids}
    assert seeds == {4294967294, 4294967295, 0, 1}


def test_a_seed_is_new_each_time_unless_it_is_locked(waiting: Page, keyed: RunningStack) -> None:
    """The dice draws a seed, and the lock keeps it."""
    page, client = waiting, Client(keyed.url, "waiting-key")

    def seed_of(text: str) -> int:
        card = create(page, new_prompt(text), **SHORT)
        expect(card).to_be_visible()
        return int(client.get(str(card.get_attribute("data-id")))["seed"])

    first, second = seed_of("random seed"), seed_of("random seed")
    assert first != second
    page.get_by_role("button", name="New random seed").click()
    page.get_by_role("button", name="Lock seed").click()
    shown = int(page.locator("#seed").input_value())
    assert [seed_of("locked seed"), seed_of("locked seed")] == [shown, shown]
    assert shown != second


def test_a_video_has_the_priority_that_was_chosen(waiting: Page, keyed: RunningStack) -> None:
    """It is in the advanced settings, shown in the details, and normal again after a reload."""
    page, client = waiting, Client(keyed.url, "waiting-key")
    for level in ("high", "low"):
        card = create(page, new_prompt(level), **SHORT, priority=level)
        expect(card).to_be_visible()
        assert client.get(str(card.get_attribute("data-id")))["priority"] == level
    page.reload()
    expect(page.locator("#priority")).to_have_value("normal")


def test_settings_are_remembered(page: Page, kinora: RunningStack) -> None:
    """The form survives a reload; a reset restores the model's defaults."""
    fill(
        page,
        "an unfinished thought",
        **LONG,
        guidance_scale="3",
        quality="fast",
        seed="7",
        variations="2",
    )
    page.reload()
    expect(page.locator("#size input[value='160x96']")).to_be_checked()
    expect(page.locator("#num_frames input[value='61']")).to_be_checked()
    expect(page.locator("#variations input[value='2']")).to_be_checked()
    values = {"prompt": "an unfinished thought", "num_inference_steps": "60"}
    for name, value in (values | {"guidance_scale": "3", "quality": "fast", "seed": "7"}).items():
        expect(page.locator(f"#{name}")).to_have_value(value)
    expect(page.get_by_role("button", name="Lock seed")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Reset settings").click()
    expect(page.locator("#size input[value='96x64']")).to_be_checked()
    expect(page.locator("#num_inference_steps")).to_have_value("16")
    expect(page.locator("#quality")).to_have_value("exact")
    expect(page.locator("#prompt")).to_have_value("an unfinished thought")
    assert kinora.url in page.url


def test_the_length_in_seconds_stays_when_the_frame_rate_changes(page: Page) -> None:
    """Digit by digit, and as nearly as the model allows; the length that was chosen comes back."""
    fill(page, "two seconds", fps="12", num_frames="25")
    chosen = page.locator("#num_frames label:has(:checked) [data-part=label]")
    expect(chosen).to_have_text("2 s")
    page.locator("#fps").press("Control+a")
    page.locator("#fps").press_sequentially("24")
    expect(chosen).to_have_text("2 s")
    expect(page.locator("#num_frames input[value='49']")).to_be_checked()
    page.locator("#fps").fill("60")
    expect(chosen).to_have_text("1 s")  # the longest that the model can render
    page.locator("#fps").fill("12")
    expect(chosen).to_have_text("2 s")


def test_without_a_completed_video_no_cost_is_shown(signed_in: Callable[..., Page]) -> None:
    """Nothing is known about this server's speed then, and a multiple of it says nothing."""
    page = signed_in("empty-key")
    expect(page.locator("#size input").first).to_be_attached()
    expect(page.get_by_text("No videos yet.")).to_be_visible()
    expect(page.locator("#cost")).to_be_empty()
    assert not any(page.locator("[data-part=cost]").all_inner_texts())


def test_sizes_and_lengths_say_what_they_cost(page: Page) -> None:
    """After the first video, each size and length shows seconds: the larger, the more."""
    expect_state(create(page, new_prompt("to learn from"), **SHORT), "completed")

    def seconds(selector: str) -> float:
        cost = page.locator(f"label:has({selector}) [data-part=cost]")
        expect(cost).to_contain_text("~")
        number, unit = cost.inner_text().removeprefix("~").split()
        return float(number) * (60 if unit == "min" else 1)

    assert seconds("[value='64x64']") < seconds("[value='160x96']")
    assert seconds("[name=num_frames][value='13']") < seconds("[name=num_frames][value='61']")
    expect(page.locator("#cost")).to_contain_text("render time")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("prompt", " ", "Enter a prompt"), ("num_inference_steps", "1", "2")],
)
def test_errors_appear_at_their_fields(page: Page, field: str, value: str, reason: str) -> None:
    """Invalid input is reported before anything is sent, and its field gets the focus."""
    fill(page, "fine", **{field: value})
    page.get_by_role("button", name="Create video").click()
    expect(page.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(f"#{field}-error")).to_contain_text(reason)
    expect(page.locator(f"#{field}")).to_be_focused()


def test_errors_of_the_server_appear_at_their_fields(page: Page) -> None:
    """The API's `param` selects the field, even where several of the API's share one."""
    fill(page, "fine", num_inference_steps="150")
    page.evaluate("document.querySelector('#num_inference_steps').max = 999")
    page.locator("#num_inference_steps").fill("500")
    page.get_by_role("button", name="Create video").click()
    expect(page.locator("#num_inference_steps-error")).to_contain_text("200")
    expect(page.locator("#num_inference_steps")).to_be_focused()


@pytest.mark.parametrize(("width", "height"), [(1280, 620)])
def test_the_message_of_an_error_is_in_view(
    new_context: NewContext, kinora: RunningStack, width: int, height: int
) -> None:
    """All of it, and not behind the bar with the button, also on a low screen."""
    page = new_context(viewport={"width": width, "height": height}).new_page()
    page.goto(kinora.url)
    fill(page, "fine", num_inference_steps="500")
    page.get_by_role("button", name="Create video").click()
    message = page.locator("#num_inference_steps-error")
    expect(message).to_be_in_viewport(ratio=0.95)  # half a pixel is lost in rounding
    # Its lower edge is what the user sees there, and not something that lies over it.
    assert message.evaluate(
        "e => { const box = e.getBoundingClientRect();"
        " return e.contains(document.elementFromPoint(box.left + 1, box.bottom - 1)) }"
    )


def test_the_demo_model_is_named_and_examples_are_offered(page: Page) -> None:
    """The tiny model is clearly labelled, and there are prompts to start from."""
    expect(page.locator("#model")).to_have_text("Demo model")
    expect(page.locator("#demo-notice")).to_contain_text("demo")
    page.get_by_role("group", name="Example prompts").get_by_role("button").first.click()
    expect(page.get_by_label("Prompt", exact=True)).not_to_have_value("")


def test_a_prompt_is_shown_as_text(page: Page) -> None:
    """Markup in a prompt is shown as text in gallery and detail view, and never runs."""
    prompt = new_prompt('<img src=x onerror="window.gotcha=1"><script>alert(1)</script>🎈')
    card = create(page, prompt, **SHORT)
    expect(card.get_by_role("heading")).to_have_text(prompt)
    expect_state(card, "completed")
    assert card.locator("h3 img, h3 script").count() == 0
    dialog = open_detail(card)
    expect(dialog.get_by_role("heading").first).to_have_text(prompt)
    assert dialog.locator("h2 img, h2 script").count() == 0
    assert page.evaluate("window.gotcha") is None
