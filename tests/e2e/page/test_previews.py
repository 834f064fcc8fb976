"""A video is seen on its card, and in the detail view, while it is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Final

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from functions.shared.storage import S3Store
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import format_rfc3339
from functions.shared.video.events import EventName
from functions.shared.video_objects import attempt_prefix
from tests.e2e.page.page_actions import (
    LONG,
    card_of,
    create,
    expect_state,
    new_prompt,
    open_detail,
    patient,
)
from tests.harness import RunningStack
from tests.unit.events import completed, progressed, publish, started

# Half a minute of a core. Previews take a hundredth of it at most, so a short video has none.
LONGER: Final = LONG | {"num_inference_steps": "200"}
RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 160, 60)
# The colour in the middle of a picture.
COLOUR = """image => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d');
  canvas.drawImage(image, 48, 32, 1, 1, 0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""
# Counts how often a card that had a picture is painted without one.
GAPS = """card => {
  window.gaps = 0;
  const look = () => {
    const images = [...card.querySelectorAll("img")];
    if (!images.some((image) => image.complete && image.naturalWidth)) window.gaps += 1;
    requestAnimationFrame(look);
  };
  look();
}"""


class Made:
    """A video that a test makes: the events and the pictures of `generate`, in a real stack."""

    def __init__(self, bus: JetStream, store: S3Store, key: VideoKey) -> None:
        """Start the first attempt of the video `key`."""
        self._ledger = Ledger(bus, takeover_grace=0)
        self._store = store
        now = format_rfc3339(time.time_ns())
        begun = started(key)
        request = begun.request.model_copy(update={"prompt": "made slowly"})  # type: ignore[union-attr]  # it has one
        self._data = begun.model_copy(
            update={"created_at": now, "started_at": now, "request": request}
        )
        self._prefix = attempt_prefix(key, 1, begun.lease.id)
        self._state = publish(self._ledger, Snapshot(key), EventName.STARTED, self._data)

    def _put(self, name: str, colour: tuple[int, int, int]) -> None:
        jpeg = BytesIO()
        Image.new("RGB", (96, 64), colour).save(jpeg, "JPEG")
        self._store.try_put(self._prefix + name, jpeg.getvalue(), "image/jpeg")

    def preview(self, number: int, colour: tuple[int, int, int]) -> None:
        """Store a preview, then tell its number."""
        self._put("preview.jpg", colour)
        data = progressed(self._data, progress=20 + 10 * number, preview=number)
        self._state = publish(self._ledger, self._state, EventName.PROGRESSED, data)

    def complete(self, colour: tuple[int, int, int]) -> None:
        """With a thumbnail of this colour, and without a preview any more."""
        self._put("thumbnail.jpg", colour)
        data = completed(self._data, prefix=self._prefix)
        self._state = publish(self._ledger, self._state, EventName.COMPLETED, data)
        self._store.delete([self._prefix + "preview.jpg"])


@pytest.fixture
def bus(keyed: RunningStack) -> Iterator[JetStream]:
    """The streams of the stack with keys."""
    bus = JetStream(keyed.nats_url)
    yield bus
    bus.close()


@pytest.fixture
def store(keyed: RunningStack, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """Its bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keyed.credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keyed.credentials.secret_key)
    endpoint = f"http://127.0.0.1:{keyed.stack.ports['s3']}"
    return S3Store("kinora", endpoint=endpoint, region="us-east-1")


def _expect_colour(image: Locator, colour: tuple[int, int, int]) -> None:
    expect(image).to_have_js_property("complete", value=True)
    found = image.evaluate(COLOUR)
    assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) < 12, (found, colour)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_preview_follows_the_one_before_without_a_gap(
    signed_in: Callable[..., Page], bus: JetStream, store: S3Store, theme: str
) -> None:
    """On the card and in the open detail view, signed in; at the end comes the video's own."""
    key = VideoKey("previewed", f"in-{theme}")
    video = Made(bus, store, key)
    page = signed_in("previewed-key", color_scheme=theme)
    card = page.locator(f"article[data-id={key.video_id}]")
    expect_state(card, "in_progress")
    preview = card.locator("img.preview")
    expect(preview).to_have_count(0)
    video.preview(1, RED)
    expect(preview).to_be_visible()
    expect(preview).to_have_attribute("alt", "Preview of made slowly")
    _expect_colour(preview, RED)
    expect(card.locator("[data-part=stage]")).to_have_text("Denoising · 30%")
    card.evaluate(GAPS)
    before = preview.element_handle()
    video.preview(2, BLUE)
    page.wait_for_function("old => !old.isConnected", arg=before)
    expect(preview).to_have_count(1)
    _expect_colour(preview, BLUE)
    dialog = open_detail(card)
    shown = dialog.locator("img.preview")
    expect(shown).to_be_visible()
    _expect_colour(shown, BLUE)
    before = shown.element_handle()
    video.preview(3, RED)
    page.wait_for_function("old => !old.isConnected", arg=before)
    _expect_colour(shown, RED)
    dialog.get_by_role("button", name="Close").click()
    video.complete(GREEN)
    expect_state(card, "completed")
    poster = card.locator("img:not(.preview)")
    expect(poster).to_be_visible()
    _expect_colour(poster, GREEN)
    assert page.evaluate("window.gaps") == 0


def test_a_video_that_goes_wrong_is_seen_and_cancelled(page: Page) -> None:
    """With the real engine; once it is cancelled, its card shows no picture."""
    card = create(page, new_prompt("a red circle moving right"), **LONGER)
    preview = card.locator("img.preview")
    expect(preview).to_be_visible(timeout=patient(60))
    assert preview.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [160, 96]
    dialog = open_detail(card)
    expect(dialog.locator("img.preview")).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog.locator("[data-part=state]")).to_have_text("Cancelled")
    expect(dialog.locator("img.preview")).to_have_count(0)
    dialog.get_by_role("button", name="Close").click()
    expect(card_of(page, card.locator("h3").inner_text())).to_have_count(1)
    expect(preview).to_have_count(0)
