"""The event stream through the gateway, over a restart of `status`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import requests

from tests.e2e.client import Client
from tests.harness import RunningStack


def _events(url: str, last: str | None = None) -> Iterator[tuple[str, str, str]]:
    """Ids, types and subjects; the first has neither type nor subject."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with requests.get(f"{url}/v1/events", headers=headers, stream=True, timeout=30) as answer:
        answer.raise_for_status()
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
            elif "id" in fields:
                subject = json.loads(fields.get("data", "{}")).get("subject", "")
                yield fields["id"], fields.get("event", ""), subject
                fields = {}


def test_a_watching_client_hears_everything_and_resumes(kinora: RunningStack) -> None:
    """The whole life of a video as it happens; after an interruption, every state that is left."""
    client = Client(kinora.url)
    feed = _events(kinora.url)
    place, _, _ = next(feed)
    video_id = client.create(num_inference_steps=2)["id"]
    heard = []
    for place, event, subject in feed:  # noqa: B007 - the last place is used below
        if subject == video_id:
            heard.append(event.split(".")[3])
            if event.endswith("completed.v1"):
                break
    assert heard[:2] == ["requested", "started"]
    kinora.kill("status")
    kinora.start("status")
    missed = client.create(num_inference_steps=2)["id"]
    client.wait(missed, "completed")
    resumed = _events(kinora.url, place)
    next(resumed)
    for _, event, subject in resumed:
        assert subject != video_id, "told before"
        if (subject, event.split(".")[3]) == (missed, "completed"):
            break
