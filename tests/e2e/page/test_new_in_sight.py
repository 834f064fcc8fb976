"""A video that was just created is in sight, or the page says where it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.page.page_actions import SHORT, card_of, create, expect_state, fill, new_prompt
from tests.harness import RunningStack

Open = Callable[..., Page]


def _toast(page: Page) -> Locator:
    return page.get_by_role("region", name="Notifications").get_by_role("listitem")


@pytest.mark.parametrize("query", ["?status=failed", "?q=nothing+like+it", "?to=2001-01-01"])
def test_a_new_video_that_the_filters_leave_out_is_one_click_away(
    signed_in: Open, keyed: RunningStack, query: str
) -> None:
    """A message names it; its button clears the filters, and leads to the card."""
    page = signed_in("waiting-key", f"/{query}")
    prompt = new_prompt("hidden by a filter")
    fill(page, prompt, **SHORT)
    page.get_by_role("button", name="Create video").click()
    expect(_toast(page)).to_contain_text(f"Queued: {prompt}")
    expect(card_of(page, prompt)).to_have_count(0)
    _toast(page).get_by_role("button", name="Show").click()
    expect(card_of(page, prompt)).to_be_in_viewport()
    expect(card_of(page, prompt).get_by_role("link")).to_be_focused()
    expect(page).to_have_url(f"{keyed.url}/")
    expect(page.get_by_label("Search prompts")).to_have_value("")


def test_several_new_videos_share_one_message(signed_in: Open) -> None:
    """Variations that a filter leaves out are counted, and their button shows the list."""
    page = signed_in("waiting-key", "/?status=failed")
    prompt = new_prompt("hidden variations")
    fill(page, prompt, **SHORT, variations="4")
    page.get_by_role("button", name="Create video").click()
    expect(_toast(page)).to_contain_text("4 new videos")
    expect(_toast(page)).to_have_count(1)
    _toast(page).get_by_role("button", name="Show").click()
    expect(card_of(page, prompt)).to_have_count(4)


def test_a_new_video_that_the_search_finds_appears_without_a_message(signed_in: Open) -> None:
    """The server decides about it, whose comparison of texts the page does not repeat."""
    prompt = new_prompt("Found in the Straße")
    page = signed_in("waiting-key", "/?q=IN+THE+STRASSE")
    expect(create(page, prompt, **SHORT)).to_be_in_viewport()
    expect(_toast(page)).to_have_count(0)


def test_trying_again_under_a_filter_says_where_the_new_video_is(
    signed_in: Open,
) -> None:
    """The new video is queued, so the filter for failed ones leaves it out."""
    page = signed_in("solo-key")
    prompt = new_prompt("cancelled and tried again")
    create(page, prompt).get_by_role("button", name="Cancel").click()
    page.get_by_label("Failed").check()
    expect_state(card_of(page, prompt), "cancelled")
    card_of(page, prompt).get_by_role("button", name="Try again").click()
    expect(_toast(page)).to_contain_text(f"Queued: {prompt}")
    _toast(page).get_by_role("button", name="Show").click()
    expect(card_of(page, prompt)).to_have_count(2)
    expect_state(card_of(page, prompt).first, "queued")
    expect(card_of(page, prompt).first).to_be_in_viewport()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_list_scrolls_to_a_new_video(signed_in: Open, width: int) -> None:
    """Wherever the page was scrolled to: on a phone, the form is above the list."""
    page = signed_in("waiting-key", viewport={"width": width, "height": 600})
    card = create(page, new_prompt(f"in sight at {width}"))
    expect(card).to_be_in_viewport(ratio=0.9)
