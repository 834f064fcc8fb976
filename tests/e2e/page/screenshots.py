"""Screenshots of the page's main states, at three widths, in both themes: `make screenshots`.

They are for people to look at; no test compares them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page, Route, expect, sync_playwright

from functions.shared.streams.jetstream import JetStream
from tests.e2e.client import Client
from tests.e2e.page.browsers import launch
from tests.e2e.page.page_actions import unfold
from tests.harness import RunningStack
from tests.patience import wait_until

WIDTHS: Final = {"phone": (390, 844), "tablet": (820, 1180), "wide": (1440, 900)}
PROMPTS: Final = (
    "A hand with delicate fingers picks up a bright yellow lemon from a wooden bowl of lemons.",
    "a red circle moving right",
    "Close-up of a chameleon's eye, with its scaly skin changing colour. Ultra high resolution.",
    "Rain on a window at night, city lights out of focus behind it",
    "Überlänge: Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenverordnung",
    "a blue square moving down on a white background",
)


def _failing(page: Page) -> None:
    unfold(page)
    page.get_by_label("Prompt", exact=True).fill("")
    page.locator("#settings").evaluate("e => e.open = true")
    page.locator("#num_inference_steps").fill("9999")
    page.get_by_role("button", name="Create video").click()


def _composing(page: Page) -> None:
    unfold(page)
    page.locator("#settings").evaluate("e => e.open = true")
    page.locator("#examples button").first.click()
    page.locator("#variations input").nth(2).check()
    page.get_by_role("button", name="New random seed").click()
    page.get_by_role("button", name="Lock seed").click()


def _deleting(page: Page) -> None:
    # A separate video, because leaving the page completes the deletion.
    video = Client(page.url.rstrip("/")).create(prompt="to be deleted")
    page.locator(f"[data-id={video['id']}]").get_by_role("button", name="Delete").click()


def _down(page: Page) -> None:
    page.context.set_offline(True)
    expect(page.locator("#banner")).to_be_visible()


def _refused(page: Page) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=401, json={"error": {"message": "Send a valid API key."}})

    page.route("**/v1/models", refuse)
    page.reload()
    expect(page.locator("#sign-in")).to_be_visible()


def _none(page: Page) -> None:
    body: dict[str, Any] = {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    page.route("**/v1/videos?*", lambda route: route.fulfill(json=body))
    page.reload()
    expect(page.locator("#empty")).to_be_visible()


# The states: the path to open, and the steps that lead to them.
STATES: Final[dict[str, tuple[str, Callable[[Page], None]]]] = {
    "gallery": ("/", lambda _: None),
    "composing": ("/", _composing),
    "wrong-form": ("/", _failing),
    "undo": ("/", _deleting),
    "no-match": ("/?q=nothing+like+it", lambda _: None),
    "detail": ("/videos/{done}", lambda _: None),
    "failure": ("/videos/garbage", lambda _: None),
    "running": ("/videos/{running}", lambda _: None),
    "offline": ("/", _down),
    "empty": ("/", _none),
    "sign-in": ("/", _refused),
}


def _started(client: Client, video_id: str) -> bool:
    return int(client.get(video_id)["progress"]) > 0


@contextmanager
def _stack() -> Iterator[tuple[RunningStack, dict[str, str]]]:
    """A stack with videos in every state: completed, failed, cancelled, running and queued."""
    with tempfile.TemporaryDirectory() as folder:
        stack = RunningStack(Path(folder))
        try:
            stack.start_all()
            client = Client(stack.url)
            made = [client.create(prompt=prompt, size="160x96") for prompt in PROMPTS]
            for video in made:
                client.wait(video["id"], "completed", seconds=120)
            bus = JetStream(stack.nats_url)
            bus.publish("kinora.requests.default.garbage", b"garbage", expected=0)
            bus.close()
            long = {"size": "160x96", "num_frames": 61, "num_inference_steps": 60}
            busy = [client.create(prompt=prompt, **long) for prompt in PROMPTS[:5]]
            for video in busy[:2]:
                wait_until(
                    partial(_started, client, video["id"]), seconds=60, what="denoising started"
                )
            # Without these, the states stay the same for all screenshots.
            for name in ("dispatch", "generate-1", "generate-2"):
                stack.kill(name)
            yield stack, {"done": made[0]["id"], "running": busy[0]["id"]}
        finally:
            stack.close()


def main(target: Path) -> None:
    """Write all screenshots to the folder `target`."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with _stack() as (stack, ids), sync_playwright() as playwright:
        browser = launch(playwright)
        for theme in ("light", "dark"):
            for size, (width, height) in WIDTHS.items():
                for state, (path, lead) in STATES.items():
                    context = browser.new_context(
                        viewport={"width": width, "height": height},
                        color_scheme=theme,
                        reduced_motion="reduce",
                    )
                    page = context.new_page()
                    page.goto(stack.url + path.format(**ids))
                    expect(page.locator("#size input").first).to_be_attached()
                    lead(page)
                    page.wait_for_timeout(600)  # posters load in the meantime
                    page.screenshot(path=target / f"{state}-{size}-{theme}.png")
                    context.close()
        browser.close()
    print(f"{len(list(target.iterdir()))} screenshots are in {target}")  # noqa: T201 - output of a command


if __name__ == "__main__":
    main(Path(sys.argv[1]))
