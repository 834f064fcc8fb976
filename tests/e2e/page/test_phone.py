"""The page on a phone: the gallery first, and a form that its keyboard does not cover."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import Page, ViewportSize, expect

from tests.e2e.page.conftest import NewContext
from tests.e2e.page.crowd import prompt_of
from tests.e2e.page.page_actions import SHORT, card_of, create, expect_state, fill, new_prompt
from tests.harness import RunningStack
from tests.patience import scaled

Open = Callable[..., Page]

PHONE: ViewportSize = {"width": 390, "height": 844}
# What the keyboard of a phone leaves of that.
WITH_KEYBOARD: ViewportSize = {"width": 390, "height": 420}


@pytest.fixture
def phone(new_context: NewContext, kinora: RunningStack) -> Page:
    """The page on a phone."""
    page = new_context(viewport=PHONE, has_touch=True, is_mobile=True).new_page()
    page.goto(kinora.url)
    return page


def test_the_gallery_comes_first(signed_in: Open) -> None:
    """The form is one line, which stays in view while the list is scrolled."""
    page = signed_in("crowd-key", viewport=PHONE)
    button = page.get_by_role("button", name="New video")
    expect(card_of(page, prompt_of(0))).to_be_in_viewport(ratio=0.9)
    expect(page.get_by_label("Prompt", exact=True)).to_be_hidden()
    page.evaluate("window.scrollTo(0, 4000)")
    expect(button).to_be_in_viewport(ratio=1)
    button.click()
    expect(page.get_by_label("Prompt", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Prompt", exact=True)).to_be_hidden()
    expect(button).to_be_focused()
    assert page.evaluate("window.scrollY") == 4000, "the list stays where it was"


def test_the_live_state_is_a_dot(phone: Page) -> None:
    """Its text is left to screen readers, as there is no room for it."""
    live = phone.locator("#live")
    expect(live).to_have_text("Live")
    box = live.bounding_box()
    assert box is not None
    dot = live.evaluate("e => parseFloat(getComputedStyle(e, '::before').width)")
    assert dot == pytest.approx(box["width"], abs=0.5)
    assert dot > 5  # CSS pixels


def test_the_keyboard_does_not_cover_the_button(phone: Page) -> None:
    """Browsers shrink the page to what the keyboard leaves of it, as the page asks them to."""
    viewport = phone.locator("meta[name=viewport]")
    expect(viewport).to_have_attribute(
        "content", "width=device-width, initial-scale=1, interactive-widget=resizes-content"
    )
    fill(phone, new_prompt("with a keyboard"))
    phone.set_viewport_size(WITH_KEYBOARD)
    expect(phone.get_by_role("button", name="Create video")).to_be_in_viewport(ratio=1)
    expect(phone.get_by_label("Prompt", exact=True)).to_be_in_viewport()


def test_where_the_page_does_not_shrink_the_form_ends_above_the_keyboard(phone: Page) -> None:
    """In Safari, only the visual viewport shrinks."""
    fill(phone, new_prompt("with a keyboard in Safari"))
    phone.evaluate(
        "(height) => { Object.defineProperty(visualViewport, 'height', { value: height });"
        " visualViewport.dispatchEvent(new Event('resize')) }",
        WITH_KEYBOARD["height"],
    )
    box = phone.get_by_role("button", name="Create video").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= WITH_KEYBOARD["height"]


def test_after_create_the_form_folds_and_the_video_shows(phone: Page) -> None:
    """A remix unfolds the form again."""
    card = create(phone, new_prompt("made on a phone"), **SHORT)
    expect(card).to_be_in_viewport(ratio=0.9)
    expect(phone.get_by_label("Prompt", exact=True)).to_be_hidden()
    expect_state(card, "completed")
    card.get_by_role("button", name="Remix").click()
    expect(phone.get_by_label("Prompt", exact=True)).to_be_focused()
    expect(phone.get_by_role("button", name="Create video")).to_be_in_viewport(ratio=1)


def test_the_page_can_be_put_on_the_home_screen(phone: Page, kinora: RunningStack) -> None:
    """With a manifest that Chromium accepts, and icons of the sizes that it names."""
    session = phone.context.new_cdp_session(phone)
    answer = session.send("Page.getAppManifest")
    assert answer["errors"] == []
    manifest = json.loads(answer["data"])
    assert (manifest["name"], manifest["display"]) == ("Kinora", "standalone")
    for icon in manifest["icons"]:
        size = phone.evaluate(
            "async (src) => { const image = new Image(); image.src = src; await image.decode();"
            " return `${image.naturalWidth}x${image.naturalHeight}` }",
            icon["src"],
        )
        assert size == icon["sizes"]
    touch = phone.locator("link[rel=apple-touch-icon]").get_attribute("href")
    assert requests.get(f"{kinora.url}{touch}", timeout=scaled(20)).content.startswith(b"\x89PNG")
