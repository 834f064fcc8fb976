"""What people do on the page, and check there."""

from __future__ import annotations

import itertools

from playwright.sync_api import Locator, Page, expect

from tests.patience import scaled

# Takes about eight seconds on two cores: long enough to act while the video is rendered.
LONG = {"size": "160x96", "num_frames": "61", "num_inference_steps": "60"}
# Takes less than a second.
SHORT = {"size": "64x64", "num_frames": "13", "num_inference_steps": "2"}

_numbers = itertools.count(1)


def watched(page: Page, problems: list[str]) -> None:
    """Collect errors of the page's scripts and violations of its security policy."""
    page.on("pageerror", lambda error: problems.append(f"{error}\n{error.stack}"))
    page.on(
        "console",
        lambda message: (
            problems.append(message.text) if "Content Security Policy" in message.text else None
        ),
    )


def new_prompt(text: str) -> str:
    """A unique prompt, because tests share the stack."""
    return f"{text}, number {next(_numbers)}"


def patient(seconds: float) -> float:
    """The milliseconds to wait for what takes less than `seconds` on an idle machine.

    Playwright can't extend a limit while it waits, so there is time for a load that only begins.
    """
    return 1000 * max(scaled(seconds), min(4 * seconds, 120))


def unfold(page: Page) -> None:
    """Show the form, which is folded on narrow screens."""
    button = page.get_by_role("button", name="New video")
    if button.is_visible() and button.get_attribute("aria-expanded") == "false":
        button.click()


def fill(page: Page, prompt: str, /, **settings: str) -> None:
    """Fill in the form; settings are named as in the API."""
    expect(page.locator("#size input").first).to_be_attached()
    unfold(page)
    page.get_by_label("Prompt", exact=True).fill(prompt)
    if settings:
        page.locator("#settings").evaluate("e => e.open = true")
    for name, value in settings.items():
        if page.locator(f"fieldset#{name}").count():
            page.locator(f"#{name} input[value='{value}']").check()
        else:
            page.locator(f"#{name}").fill(value)


def create(page: Page, prompt: str, /, **settings: str) -> Locator:
    """Create a video, and return its card."""
    fill(page, prompt, **settings)
    page.get_by_role("button", name="Create video").click()
    return card_of(page, prompt).first


def card_of(page: Page, prompt: str) -> Locator:
    """The cards of the videos with this prompt."""
    return page.get_by_role("article", name=prompt, exact=True)


def expect_state(card: Locator, state: str, *, seconds: float = 60) -> None:
    """Wait until the card shows `state`."""
    expect(card).to_have_attribute("data-state", state, timeout=patient(seconds))


def open_detail(card: Locator) -> Locator:
    """Open the detail view of a card's video."""
    card.get_by_role("link").click()
    dialog = card.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


def prompts_shown(page: Page) -> list[str]:
    """The prompts of the cards in the document, in order."""
    return page.locator(".card h3").all_inner_texts()
