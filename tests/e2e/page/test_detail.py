"""The detail view of a video, and its actions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import av
import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from functions.shared.streams.jetstream import JetStream
from tests.e2e.client import TINY, Client
from tests.e2e.page.page_actions import (
    LONG,
    SHORT,
    card_of,
    create,
    expect_state,
    new_prompt,
    open_detail,
    patient,
)
from tests.engines import Engines
from tests.harness import RunningStack
from tests.nats_users import NatsUsersStack
from tests.patience import scaled, wait_until

PROMPT = 'it\'s "quoted" $HOME `id` \\ <b>🎈</b>'


def _press(dialog: Locator, name: str) -> None:
    dialog.get_by_role("button", name=name, exact=True).click()


def _download(page: Page, dialog: Locator, name: str, folder: Path) -> Path:
    with page.expect_download() as download:
        _press(dialog, name)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_the_detail_view_has_an_address_a_player_and_all_facts(
    page: Page, kinora: RunningStack
) -> None:
    """The back button closes it, and its address opens it again."""
    card = create(page, new_prompt("with an address"), **SHORT, seed="11")
    expect_state(card, "completed")
    video_id = str(card.get_attribute("data-id"))
    dialog = open_detail(card)
    expect(page).to_have_url(f"{kinora.url}/videos/{video_id}")
    page.go_back()
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(f"{kinora.url}/")
    expect(card.get_by_role("link")).to_be_focused()
    page.go_forward()
    expect(dialog).to_be_visible()
    page.reload()
    expect(dialog.get_by_role("heading").first).to_contain_text("with an address")
    video = dialog.locator("video")
    wait_until(lambda: video.evaluate("e => e.currentTime > 0"), seconds=20, what="it plays")
    facts = dialog.locator(".facts")
    for text in ("64 \u00d7 64", "13 frames", "12 fps", "Seed", "11", "mochi-1-demo", video_id):
        expect(facts).to_contain_text(text)
    expect(dialog.locator(".stages")).to_contain_text("Denoising")
    page.keyboard.press("Escape")
    expect(page).to_have_url(f"{kinora.url}/")


def test_arrow_keys_move_to_the_next_video(waiting: Page) -> None:
    """The arrow keys move through the list."""
    page = waiting
    older, newer = new_prompt("the older one"), new_prompt("the newer one")
    create(page, older, **SHORT)
    expect(card_of(page, older)).to_be_visible()
    dialog = open_detail(create(page, newer, **SHORT))
    expect(dialog.get_by_role("heading").first).to_have_text(newer)
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("heading").first).to_have_text(older)
    _press(dialog, "Newer video")
    expect(dialog.get_by_role("heading").first).to_have_text(newer)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_an_unknown_video_is_not_found(page: Page, kinora: RunningStack) -> None:
    """The address of a video that does not exist says so, and leads back to the list."""
    page.goto(f"{kinora.url}/videos/nothing")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading").first).to_have_text("Video not found")
    _press(dialog, "Close")
    expect(page).to_have_url(f"{kinora.url}/")


def test_download_and_remix(page: Page, tmp_path: Path) -> None:
    """MP4 and poster are saved as files; a remix copies all settings and the seed to the form."""
    prompt = new_prompt("to be saved")
    card = create(page, prompt, **SHORT, seed="21", negative_prompt="blue")
    expect_state(card, "completed")
    dialog = open_detail(card)
    video_file = _download(page, dialog, "Download MP4", tmp_path)
    assert video_file.suffix == ".mp4"
    assert "_seed-21_" in video_file.name
    with av.open(video_file) as container:
        assert sum(1 for _ in container.decode(video=0)) == 13
    assert _download(page, dialog, "Download poster", tmp_path).read_bytes().startswith(b"\xff\xd8")

    page.evaluate("localStorage.removeItem('kinora.form')")
    _press(dialog, "Remix")
    expect(dialog).to_be_hidden()
    expect(page.get_by_label("Prompt", exact=True)).to_be_focused()
    for name, value in {"prompt": prompt, "negative_prompt": "blue", "seed": "21"}.items():
        expect(page.locator(f"#{name}")).to_have_value(value)
    expect(page.locator("#size input[value='64x64']")).to_be_checked()


def test_copied_commands_create_the_same_video(page: Page, kinora: RunningStack) -> None:
    """The curl command runs in a shell, the Python program with the openai package."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    prompt = new_prompt(PROMPT)
    card = create(page, prompt, **SHORT, seed="5", negative_prompt="a \"b\" 'c'")
    expect_state(card, "completed")
    dialog = open_detail(card)

    def copied(name: str) -> str:
        button = dialog.get_by_role("button", name=name, exact=True)
        handle = button.element_handle()
        # It says so for a second and a half, so the page itself looks.
        handle.evaluate(
            "button => { window.said = []; new MutationObserver(() => said.push(button.innerText))"
            ".observe(button, { subtree: true, childList: true, characterData: true }) }"
        )
        button.click()
        wait_until(lambda: "Copied" in page.evaluate("said"), seconds=5, what="it confirms")
        text: str = page.evaluate("navigator.clipboard.readText()")
        return text

    assert copied("Copy prompt") == prompt
    programs = [
        ["sh", "-c", copied("Copy curl command")],
        [sys.executable, "-c", copied("Copy Python program")],
    ]
    first = Client(kinora.url).get(str(card.get_attribute("data-id")))
    for program in programs:
        environ = {**os.environ, "HOME": "/nonexistent"}
        done = subprocess.run(
            program,
            env=environ,
            capture_output=True,
            text=True,
            timeout=scaled(60),
            check=True,
            cwd="/tmp",  # noqa: S108 - the program writes a file of its own name
        )
        if program[0] == "sh":
            assert '"id":"video_' in done.stdout
    answer = requests.get(f"{kinora.url}/v1/videos", params={"q": prompt}, timeout=scaled(20))
    same = answer.json()["data"]
    kept = ("prompt", "negative_prompt", "size", "num_frames", "fps", "seed", "guidance_scale")
    assert len(same) == 3
    assert all(video[name] == first[name] for video in same for name in kept)


def test_cancel_then_try_again(page: Page, engines: Engines) -> None:
    """Cancelling stops the video; trying again creates one with the same settings."""
    engines.hold()
    prompt = new_prompt("to be cancelled")
    card = create(page, prompt, **LONG)
    card.get_by_role("button", name="Cancel").click()
    expect_state(card, "cancelled")
    expect(card).to_contain_text("was cancelled")
    card.get_by_role("button", name="Try again").click()
    expect(card_of(page, prompt)).to_have_count(2)
    again = card_of(page, prompt).first
    expect(again.get_by_role("progressbar")).to_be_visible(timeout=patient(30))
    _press(open_detail(again), "Cancel")
    expect(page.get_by_role("dialog").locator("[data-part=state]")).to_have_text("Cancelled")
    page.keyboard.press("Escape")


def test_a_failed_video_shows_its_reason(page: Page, kinora: NatsUsersStack) -> None:
    """A request that is not valid JSON has no settings, and breaks nothing on the page."""
    bus = JetStream(kinora.nats_url_of("operator"))
    bus.publish("kinora.requests.default.garbage", b"garbage", expected=0)
    bus.close()
    card = page.locator("article[data-id=garbage]")
    expect_state(card, "failed", seconds=15)
    expect(card).to_contain_text("not valid JSON")
    assert card.get_by_role("button", name="Try again").count() == 0
    dialog = open_detail(card)
    expect(dialog.locator("[data-part=problem]")).to_contain_text("not valid JSON")


def test_a_deletion_can_be_undone(page: Page, kinora: RunningStack) -> None:
    """Undo restores the video; without it, the video is deleted on the server."""
    client = Client(kinora.url)
    prompt = new_prompt("to be deleted")
    card = create(page, prompt, **SHORT)
    expect_state(card, "completed")
    video_id = str(card.get_attribute("data-id"))
    card.get_by_role("button", name="Delete").click()
    expect(card).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(card).to_be_visible()
    assert client.get(video_id)["status"] == "completed"
    _press(open_detail(card), "Delete")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(card).to_have_count(0)
    page.get_by_role("button", name="Dismiss").click()
    wait_until(lambda: client.get(video_id) == {}, seconds=10, what="it is deleted")


@pytest.mark.parametrize("leave", ["close the tab", "go elsewhere"])
def test_leaving_the_page_completes_deletions(
    waiting: Page, keyed: RunningStack, leave: str
) -> None:
    """Deletions that can still be undone are completed when the page is closed."""
    page, client = waiting, Client(keyed.url, "waiting-key")
    card = create(page, new_prompt(f"deleted, then {leave}"), **SHORT)
    expect(card).to_be_visible()
    video_id = str(card.get_attribute("data-id"))
    card.get_by_role("link").press("Delete")
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    if leave == "close the tab":
        page.close(run_before_unload=True)
    else:
        page.goto("about:blank")
    wait_until(lambda: client.get(video_id) == {}, seconds=10, what="it is deleted")


def test_a_remix_links_to_its_original(page: Page, kinora: RunningStack) -> None:
    """A remix names the video that it is based on, as a link."""
    client = Client(kinora.url)
    first = client.create(prompt=new_prompt("the first"), **TINY)
    answer = requests.post(
        f"{kinora.url}/v1/videos/{first['id']}/remix",
        json={"prompt": "the second"},
        timeout=scaled(20),
    )
    page.goto(f"{kinora.url}/videos/{answer.json()['id']}")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("link", name=re.compile(first["id"])).click()
    expect(dialog.get_by_role("heading").first).to_have_text(first["prompt"])
