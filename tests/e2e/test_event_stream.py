"""The event stream through the gateway, across a restart of `status`."""

from __future__ import annotations

from tests.e2e.client import TINY, Client
from tests.e2e.sse import read_events
from tests.harness import RunningStack


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
