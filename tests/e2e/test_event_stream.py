"""The event stream through the gateway, over a restart of `status`."""

from __future__ import annotations

from tests.e2e.client import Client
from tests.e2e.sse import events
from tests.harness import RunningStack


def test_a_watching_client_hears_everything_and_resumes(kinora: RunningStack) -> None:
    """The whole life of a video as it happens; after an interruption, every state that is left."""
    client = Client(kinora.url)
    feed = events(kinora.url)
    place = next(feed).id
    video_id = client.create(num_inference_steps=2)["id"]
    heard = []
    for event in feed:
        place = event.id
        if event.subject == video_id:
            heard.append(event.type.split(".")[3])
            if heard[-1] == "completed":
                break
    assert heard[:2] == ["requested", "started"]
    kinora.kill("status")
    kinora.start("status")
    missed = client.create(num_inference_steps=2)["id"]
    client.wait(missed, "completed")
    resumed = events(kinora.url, place)
    next(resumed)
    for event in resumed:
        assert event.subject != video_id, "told before"
        if (event.subject, event.type.split(".")[3]) == (missed, "completed"):
            break
