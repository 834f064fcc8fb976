"""The stream VIDEOS loses events, and everything else is intact: no video is queued for ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.queue_state import backlog, newest_queue_state
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.video.events import EventName
from tests.bulk import message, publish_all
from tests.e2e.client import Client
from tests.e2e.faults.stack import SHORT
from tests.harness import RunningStack
from tests.patience import scaled, wait_until
from tests.unit.events import completed, started

pytestmark = pytest.mark.long

# Videos of an earlier version of Kinora, which wrote no records.
WITHOUT_RECORD = 120
DAMAGED_BYTES = 64


@pytest.fixture(scope="module")
def kinora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack of its own, because these tests damage its data."""
    stack = RunningStack(tmp_path_factory.mktemp("lost-events"), SHORT)
    try:
        stack.start_all()
        yield stack
    finally:
        stack.close()


@pytest.fixture
def bus(kinora: RunningStack) -> Iterator[JetStream]:
    """The streams, as an operator sees them."""
    bus = JetStream(kinora.nats_url)
    yield bus
    bus.close()


def _put_settled(kinora: RunningStack, bus: JetStream, name: str) -> list[str]:
    """Completed videos without files, whose requests `dispatch` has acknowledged."""
    keys = [VideoKey("default", f"{name}-{n}") for n in range(WITHOUT_RECORD)]
    events = [
        message(
            key,
            EventName.COMPLETED,
            completed(started(key), prefix=f"{key.object_prefix}1-0/").model_dump(mode="json"),
        )
        for key in keys
    ]
    asked = [message(key, EventName.REQUESTED, {"prompt": "a red circle"}) for key in keys]
    publish_all(kinora.nats_url, [*events, *asked])
    wait_until(
        lambda: backlog(bus, newest_queue_state(bus)) == 0,
        seconds=60,
        what="all requests are settled",
    )
    return [key.video_id for key in keys]


def _rendered(client: Client, count: int) -> list[str]:
    """Completed videos with files and records."""
    videos = [client.create(num_inference_steps=2)["id"] for _ in range(count)]
    for video in videos:
        client.wait(video, "completed", seconds=90)
    return videos


def _read_alone(client: Client, videos: list[str]) -> dict[str, str]:
    return {video: _state(client, video) for video in videos}


def _state(client: Client, video: str) -> str:
    """Its state in a single read, which gets 503 while NATS starts again."""

    def told() -> str | None:
        answer = requests.get(f"{client.url}/v1/videos/{video}", timeout=scaled(20))
        if answer.status_code == requests.codes.service_unavailable:
            return None
        return str(answer.json().get("status", "gone"))

    return wait_until(told, seconds=30, what=f"the state of {video} is told")


def _listed(client: Client) -> dict[str, str] | None:
    """The state of every video in the list; None while the list is read again."""
    found: dict[str, str] = {}
    page: dict[str, Any] = {"has_more": True, "last_id": ""}
    while page["has_more"]:
        query = {"limit": "100", "after": str(page["last_id"])}
        answer = requests.get(f"{client.url}/v1/videos", params=query, timeout=scaled(20))
        if answer.status_code == requests.codes.service_unavailable:
            assert answer.headers["Retry-After"]
            return None
        answer.raise_for_status()
        page = answer.json()
        found |= {video["id"]: video["status"] for video in page["data"]}
    return found


def _agreed(client: Client, videos: list[str]) -> dict[str, str]:
    """What the list and single reads say, once both say the same of all videos."""

    def agreed() -> dict[str, str] | None:
        alone = _read_alone(client, videos)
        return alone if _listed(client) == alone else None

    return wait_until(agreed, seconds=60, what="the list says what single reads say", every=0.5)


def _damage(folder: Path) -> None:
    """Overwrite 64 bytes in the middle of a stream's largest block, and remove its index."""
    block = max(folder.glob("*.blk"), key=lambda path: path.stat().st_size)
    with block.open("r+b") as file:
        file.seek(block.stat().st_size // 2)
        file.write(b"\xff" * DAMAGED_BYTES)
    (folder / "index.db").unlink()


@pytest.mark.time_limit(480)
def test_a_purged_stream_is_restored_from_the_bucket(
    kinora: RunningStack, client: Client, bus: JetStream
) -> None:
    """The list follows the purge, and one command restores what has files, once."""
    rendered = _rendered(client, 2)
    others = _put_settled(kinora, bus, "purged")
    videos = [*rendered, *others]
    assert set(_agreed(client, videos).values()) == {"completed"}
    kinora.stop("dispatch")  # which would do the same, a minute later
    bus.purge(VIDEOS, "kinora.videos.*.*.*")
    assert set(_agreed(client, videos).values()) == {"queued"}
    said = kinora.restore_videos()
    assert "2 restored" in said
    assert kinora.restore_videos().count("0 restored") == 1
    states = _agreed(client, videos)
    assert states == dict.fromkeys(rendered, "completed") | dict.fromkeys(others, "queued")
    for video in rendered:
        assert client.frames(video).size
    kinora.start("dispatch")


@pytest.mark.time_limit(480)
def test_events_in_a_damaged_block_are_published_again_or_the_videos_fail(
    kinora: RunningStack, client: Client, bus: JetStream
) -> None:
    """A minute or two after NATS is back, no video is queued, and each failed one says why."""
    others = _put_settled(kinora, bus, "damaged")
    rendered = _rendered(client, 2)
    videos = [*others, *rendered]
    kinora.stop("nats")
    (folder,) = kinora.stack.data.glob("nats/**/streams/VIDEOS/msgs")
    _damage(folder)
    kinora.start("nats")
    kinora.wait_ready("status")
    before = Counter(_read_alone(client, videos).values())
    assert before["queued"], "the damage has cost events"

    def told() -> dict[str, str] | None:
        states = _read_alone(client, videos)
        return None if {"queued", "in_progress"} & set(states.values()) else states

    states = wait_until(told, seconds=200, what="no video is queued any more", every=3)
    assert {states[video] for video in rendered} == {"completed"}
    for video in rendered:
        assert client.frames(video).size
    failed = [video for video, state in states.items() if state == "failed"]
    assert failed
    assert {client.get(video)["error"]["code"] for video in failed} == {"state_lost"}
    assert _agreed(client, _all(client)) == _listed(client)
    new = client.create(num_inference_steps=2)["id"]
    client.wait(new, "completed", seconds=90)


def _all(client: Client) -> list[str]:
    return list(wait_until(lambda: _listed(client), seconds=30, what="the list answers"))
