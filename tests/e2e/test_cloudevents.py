"""CloudEvents from other systems, over HTTP and directly through NATS, without Kinora's code."""

from __future__ import annotations

import asyncio
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import nats
import pytest
import requests

from tests.e2e.client import TINY, Client
from tests.harness import RunningStack
from tests.nats_users import NatsUsersStack
from tests.patience import scaled, wait_until

TYPE = "dev.kinora.video.requested.v1"


def _publish(url: str, subject: str, payload: bytes, headers: dict[str, str] | None) -> None:
    async def publish() -> None:
        connection = await nats.connect(url)
        await connection.publish(subject, payload, headers=headers)
        await connection.close()

    # In another thread: after a test of the page, this one has a running event loop.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, publish()).result()


def _event(data: object) -> dict[str, Any]:
    return {"specversion": "1.0", "type": TYPE, "source": "/other", "id": uuid.uuid4().hex,
            "data": data}  # fmt: skip


@pytest.mark.parametrize("mode", ["structured", "binary", "structured without content type"])
def test_an_event_published_to_nats_becomes_a_video(
    kinora: NatsUsersStack, client: Client, mode: str
) -> None:
    """The smallest possible event, from any system with a NATS client."""
    video_id = f"nats-{uuid.uuid4().hex[:8]}"
    # One shows that nothing but the prompt is required.
    data = {"prompt": "a blue square", **({} if mode == "structured" else TINY)}
    event = _event(data)
    headers: dict[str, str] | None = {"content-type": "application/cloudevents+json"}
    payload = json.dumps(event).encode()
    if mode == "binary":
        headers = {f"ce-{name}": event[name] for name in ("specversion", "type", "source", "id")}
        payload = json.dumps(event["data"]).encode()
    elif mode != "structured":
        headers = None
    _publish(
        kinora.nats_url_of("operator"), f"kinora.requests.default.{video_id}", payload, headers
    )
    video = client.wait(video_id, "completed")
    assert video["prompt"] == "a blue square"
    expected = (25, 64, 96, 3) if mode == "structured" else (7, 32, 32, 3)
    assert client.frames(video_id).shape == expected


def test_events_over_http_become_videos_in_every_mode(kinora: RunningStack, client: Client) -> None:
    """Binary, structured and batch; the video's id is the event's subject."""
    ids = [f"http-{uuid.uuid4().hex[:8]}" for _ in range(4)]
    data = {"prompt": "a green triangle", **TINY}
    events = [{**_event(data), "subject": video_id} for video_id in ids]
    binary = {f"ce-{name}": str(value) for name, value in events[0].items() if name != "data"}
    answers = [
        requests.post(kinora.url, json=data, headers=binary, timeout=scaled(20)),
        requests.post(
            kinora.url,
            data=json.dumps(events[1]),
            headers={"content-type": "application/cloudevents+json"},
            timeout=scaled(20),
        ),
        requests.post(
            kinora.url,
            data=json.dumps(events[2:]),
            headers={"content-type": "application/cloudevents-batch+json"},
            timeout=scaled(20),
        ),
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    for video_id in ids:
        assert client.wait(video_id, "completed")["num_frames"] == 7


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"garbage \xff", "invalid_json"),
        (json.dumps(_event({})).encode(), "missing_required_parameter"),
        (json.dumps(_event({"prompt": "x", "size": "1x1"})).encode(), "invalid_value"),
        (json.dumps(_event({"prompt": "x" * 90_000})).encode(), "request_too_large"),
        (json.dumps({**_event({"prompt": "x"}), "type": "v9"}).encode(), "invalid_cloudevent"),
    ],
)
def test_an_invalid_event_fails_with_a_reason_and_has_no_file(
    kinora: NatsUsersStack, client: Client, payload: bytes, code: str
) -> None:
    """The publisher gets no response, so the reason is stored with the video."""
    video_id = f"bad-{uuid.uuid4().hex[:8]}"
    _publish(kinora.nats_url_of("operator"), f"kinora.requests.default.{video_id}", payload, None)
    video = client.wait(video_id, "failed")
    assert video["error"]["code"] == code
    assert video["error"]["message"]
    content = requests.get(f"{kinora.url}/v1/videos/{video_id}/content", timeout=scaled(20))
    assert content.status_code == 404


def test_an_invalid_subject_is_dropped(kinora: NatsUsersStack, client: Client) -> None:
    """Such a subject names no video, so the request is dropped; the next one runs as usual."""
    payload = json.dumps(_event({"prompt": "x"})).encode()
    _publish(kinora.nats_url_of("operator"), "kinora.requests.default.a*b", payload, None)
    video = client.create(**TINY)
    client.wait(video["id"], "completed")
    wait_until(lambda: "dropped" in kinora.log("dispatch"), seconds=5, what="the drop was logged")
