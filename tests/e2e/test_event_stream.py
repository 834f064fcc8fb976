"""The event stream through the gateway, across a restart of `status`."""

from __future__ import annotations

import re

import requests

from functions.shared.metrics import OPEN_FEEDS
from functions.status.feeds.feed import KEEP_ALIVE_SECONDS
from tests.e2e.client import TINY, Client
from tests.e2e.sse import read_events
from tests.harness import RunningStack
from tests.patience import scaled, wait_until


def test_a_client_receives_every_event_and_resumes_after_a_restart(kinora: RunningStack) -> None:
    """A video's events as they happen; after an interruption, each video's current state."""
    client = Client(kinora.url)
    stream = read_events(kinora.url)
    last_event_id = next(stream).id
    video_id = client.create(**TINY)["id"]
    received = []
    for event in stream:
        last_event_id = event.id
        if event.subject == video_id:
            received.append(event.type.split(".")[3])
            if received[-1] == "completed":
                break
    assert received[:2] == ["requested", "started"]
    kinora.kill("status")
    kinora.start("status")
    missed = client.create(**TINY)["id"]
    client.wait(missed, "completed")
    resumed = read_events(kinora.url, last_event_id)
    next(resumed)
    for event in resumed:
        assert event.subject != video_id, "delivered twice"
        if (event.subject, event.type.split(".")[3]) == (missed, "completed"):
            break


def test_a_page_that_is_closed_frees_its_place_at_once(kinora: RunningStack) -> None:
    """Pages that are loaded again and again never reach the limit."""
    status = f"http://127.0.0.1:{kinora.stack.ports['status']}/metrics"

    def open_streams() -> int:
        text = requests.get(status, timeout=scaled(20)).text
        (found,) = re.findall(rf"^{OPEN_FEEDS.name} (\S+)$", text, re.MULTILINE)
        return int(float(found))

    others = open_streams()
    pages = [
        requests.get(f"{kinora.url}/v1/events", stream=True, timeout=scaled(60)) for _ in range(20)
    ]
    assert open_streams() == others + len(pages)
    for page in pages:
        page.close()
    # Without it, two keep-alives would have to fail.
    wait_until(
        lambda: open_streams() <= others,
        seconds=KEEP_ALIVE_SECONDS / 2,
        what="their places are free",
    )
