"""The web page, used as a person uses it: a real Chromium against the real stack."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from functions.shared.jetstream import JetStream
from tests.e2e.client import Client
from tests.harness import RunningStack, wait_until

SETTINGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The Chromium of this machine; `make test` installs one where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    assert path is not None, "no Chromium on the PATH: run `make test`"
    # Chromium's sandbox refuses to run as root, which is what containers and CI are.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*SETTINGS, *sandbox])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, kinora: RunningStack) -> Iterator[Page]:
    """The page, freshly opened; errors in its scripts fail the test."""
    context = browser.new_context(accept_downloads=True)
    context.set_default_timeout(30_000)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"{error}\n{error.stack}"))
    page.goto(kinora.url)
    yield page
    context.close()
    assert problems == []


def _create(page: Page, prompt: str, **settings: str) -> Locator:
    page.get_by_label("Prompt", exact=True).fill(prompt)
    for label, value in settings.items():
        field = page.locator(f"#{label}")
        if field.evaluate("e => e.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    page.get_by_role("button", name="Create video").click()
    return page.get_by_role("article", name=prompt, exact=True).first


def test_type_submit_watch_play_and_download(page: Page, tmp_path: Path) -> None:
    """From a prompt to a file on the disk, with progress that moves on the way."""
    card = _create(
        page,
        "a red circle moving right",
        size="160x96",
        num_frames="61",
        num_inference_steps="60",
    )
    expect(card.get_by_role("progressbar")).to_be_visible()
    seen: list[float] = []

    def completed() -> bool:
        # State and bar in one look: the bar goes away when the video is completed.
        state, shown = card.evaluate(
            "a => { const p = a.querySelector('progress');"
            " return [a.dataset.status, p && p.checkVisibility() ? p.value / p.max : null] }"
        )
        if shown is not None:
            seen.append(shown)
        return bool(state == "completed")

    wait_until(completed, seconds=90, what="the card says completed")
    assert seen == sorted(seen)
    assert len({value for value in seen if 0 < value < 1}) >= 2, "the bar moved"

    video = card.locator("video")
    expect(video).to_be_visible()
    video.evaluate("async e => { e.muted = true; e.loop = false; await e.play() }")
    wait_until(
        lambda: video.evaluate("e => e.ended && e.error === null"), seconds=20, what="it played"
    )
    assert video.evaluate("e => [e.videoWidth, e.videoHeight]") == [160, 96]
    assert video.evaluate("e => e.duration") == pytest.approx(61 / 12, abs=0.1)

    with page.expect_download() as download:
        card.get_by_role("link", name="Download").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.suffix == ".mp4"
    with av.open(path) as container:
        assert sum(1 for _ in container.decode(video=0)) == 61


def test_cancel_and_delete(page: Page, kinora: RunningStack) -> None:
    """Cancel stops the video; delete asks once more and then removes it everywhere."""
    card = _create(page, "a video to be cancelled", num_inference_steps="200", size="160x96")
    card.get_by_role("button", name="Cancel").click()
    expect(card).to_have_attribute("data-status", "cancelled")
    card.get_by_role("button", name="Delete").click()
    card.get_by_role("button", name="Really delete?").click()
    expect(card).to_have_count(0)
    listed = requests.get(f"{kinora.url}/v1/videos?limit=100", timeout=20).json()["data"]
    assert "a video to be cancelled" not in [video["prompt"] for video in listed]


def test_what_others_do_shows_without_a_reload(page: Page, kinora: RunningStack) -> None:
    """A video that a program makes appears, and its state follows."""
    client = Client(kinora.url)
    video = client.create(prompt="made by a program", num_inference_steps=2)
    card = page.locator(f"[data-id={video['id']}] article")
    expect(card).to_be_visible(timeout=15_000)
    expect(card).to_have_attribute("data-status", "completed", timeout=30_000)


def test_a_prompt_is_shown_as_text(page: Page) -> None:
    """Markup in a prompt is data, and nothing of it runs."""
    prompt = "<img src=x onerror=\"document.title='gotcha'\"><script>alert(1)</script> & 🎈"
    card = _create(page, prompt, num_inference_steps="2")
    expect(card.get_by_role("heading")).to_have_text(prompt)
    expect(card).to_have_attribute("data-status", "completed", timeout=30_000)
    assert page.title() != "gotcha"
    assert card.locator("img").count() == 0


def test_a_request_that_was_never_valid_is_shown_with_its_reason(
    page: Page, kinora: RunningStack
) -> None:
    """Another system's mistake has no settings to show, and breaks nothing."""
    bus = JetStream(kinora.nats_url)
    bus.publish("kinora.requests.default.garbage", b"garbage", expected=0)
    bus.close()
    card = page.locator("[data-id=garbage] article")
    expect(card).to_have_attribute("data-status", "failed", timeout=15_000)
    expect(card).to_contain_text("not valid JSON")
    card.get_by_role("button", name="Use again").click()
    expect(page.locator("#size")).not_to_have_value("")


def test_bad_input_is_shown_at_its_field(page: Page) -> None:
    """The server's reason stands beside the field that it names."""
    page.locator("#seed").fill("99999999999")
    page.get_by_label("Prompt", exact=True).fill("x")
    page.evaluate("document.querySelector('#video-form').noValidate = true")
    page.get_by_role("button", name="Create video").click()
    expect(page.locator("#seed")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#seed-error")).to_be_visible()


def test_the_page_says_that_this_is_the_demo_model(page: Page) -> None:
    """Nobody takes the tiny model for the full one."""
    expect(page.locator("#demo-notice")).to_contain_text("demo")


def test_everything_comes_from_this_server(browser: Browser, kinora: RunningStack) -> None:
    """No request leaves for anybody else, and the policy in force would not let it."""
    context = browser.new_context()
    page = context.new_page()
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    answer = page.goto(kinora.url)
    expect(page.locator("#videos")).to_be_attached()
    page.wait_for_load_state("networkidle", timeout=10_000)
    context.close()
    assert hosts == {kinora.url.removeprefix("http://")}
    assert answer is not None
    assert "default-src 'self'" in answer.headers["content-security-policy"]
