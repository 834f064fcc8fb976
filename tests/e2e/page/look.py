"""What a person does on the page, and sees there."""

from __future__ import annotations

import itertools

from playwright.sync_api import Locator, Page, expect

from tests.patience import scaled

# About eight seconds of work on two cores: long enough to do something to it meanwhile.
LONG = {"size": "160x96", "num_frames": "61", "num_inference_steps": "60"}
# Less than a second.
SHORT = {"size": "64x64", "num_frames": "13", "num_inference_steps": "2"}

_numbers = itertools.count(1)


def watched(page: Page, problems: list[str]) -> None:
    """Collect the errors of the page's scripts, and what its security policy refused."""
    page.on("pageerror", lambda error: problems.append(f"{error}\n{error.stack}"))
    page.on(
        "console",
        lambda message: (
            problems.append(message.text) if "Content Security Policy" in message.text else None
        ),
    )


def new_prompt(text: str) -> str:
    """A prompt that no other test wrote: the stack is shared."""
    return f"{text}, number {next(_numbers)}"


def fill(page: Page, prompt: str, /, **settings: str) -> None:
    """Fill in the form; the settings have the names of the API."""
    expect(page.locator("#size input").first).to_be_attached()
    page.get_by_label("Prompt", exact=True).fill(prompt)
    for name, value in settings.items():
        if page.locator(f"fieldset#{name}").count():
            page.locator(f"#{name} input[value='{value}']").check()
        else:
            page.locator(f"#{name}").fill(value)


def create(page: Page, prompt: str, /, **settings: str) -> Locator:
    """Ask for a video; its card."""
    fill(page, prompt, **settings)
    page.get_by_role("button", name="Create video").click()
    return card_of(page, prompt).first


def card_of(page: Page, prompt: str) -> Locator:
    """The cards of the videos with this prompt."""
    return page.get_by_role("article", name=prompt, exact=True)


def expect_state(card: Locator, state: str, *, seconds: float = 60) -> None:
    """Wait until the card says `state`."""
    expect(card).to_have_attribute("data-state", state, timeout=scaled(seconds) * 1000)


def open_detail(card: Locator) -> Locator:
    """Open the detail view of a card."""
    card.get_by_role("link").click()
    dialog = card.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


def prompts_shown(page: Page) -> list[str]:
    """The prompts of the cards that exist, in their order."""
    return page.locator(".card h3").all_inner_texts()
