"""A server that comes back without its data, or without room: what is lost is said, no more."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e.client import Client
from tests.e2e.faults.stack import SHORT
from tests.e2e.sse import StreamEvent, read_events
from tests.engines import STEPS, Engines
from tests.harness import RunningStack
from tests.patience import scaled, wait_until

# One volume of 1 MB: SeaweedFS refuses what is beyond it, as it does when its disk is full.
SMALL_DISK = ["-volume.max=1", "-master.volumeSizeLimitMB=1"]


@pytest.fixture(scope="module")
def kinora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A running stack of its own, with short leases."""
    stack = RunningStack(tmp_path_factory.mktemp("lost"), SHORT)
    try:
        stack.start_all()
        yield stack
    finally:
        stack.close()


@pytest.fixture
def client(kinora: RunningStack) -> Client:
    """A caller of the gateway."""
    return Client(kinora.url)


def _lose(stack: RunningStack, server: str) -> None:
    stack.kill(server)
    stack.remove_data(server)
    stack.start(server)
    stack.set_up()


def _content(client: Client, video_id: str) -> requests.Response:
    return requests.get(f"{client.url}/v1/videos/{video_id}/content", timeout=scaled(20))


def _listed(client: Client) -> list[str]:
    answer = requests.get(f"{client.url}/v1/videos", timeout=scaled(20))
    answer.raise_for_status()
    return [video["id"] for video in answer.json()["data"]]


def test_a_store_that_lost_its_files_is_told_of_and_used_again(
    kinora: RunningStack, client: Client
) -> None:
    """The video is there and says what it was; its file is not; the next one is made as ever."""
    lost = client.create(num_inference_steps=2)["id"]
    client.wait(lost, "completed")
    _lose(kinora, "s3")
    assert client.get(lost)["status"] == "completed"
    answer = _content(client, lost)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "content_lost")
    kept = client.create(num_inference_steps=2)["id"]
    client.wait(kept, "completed")
    assert client.frames(kept).size


def test_a_full_store_costs_an_attempt_and_not_the_video(
    kinora: RunningStack, client: Client
) -> None:
    """What can't be stored is given back with the reason, and made again when there is room."""
    roomy = kinora.table["s3"]
    kinora.table["s3"] = replace(roomy, argv=[*roomy.argv, *SMALL_DISK])
    _lose(kinora, "s3")
    _fill(kinora)
    video_id = client.create(num_inference_steps=2)["id"]
    wait_until(
        lambda: f"{video_id}: attempt 1 ended: released" in _worker_logs(kinora),
        seconds=60,
        what="the first attempt met a full store",
    )
    kinora.kill("s3")
    kinora.table["s3"] = roomy
    kinora.start("s3")
    video = client.wait(video_id, "completed", "failed")
    assert (video["status"], video["attempt"] > 1) == ("completed", True)
    assert client.frames(video_id).size


def test_after_nats_lost_everything_the_functions_go_on_without_a_restart(
    kinora: RunningStack, client: Client
) -> None:
    """Nothing is remembered, nothing hangs: not the list, not a feed, not a busy worker."""
    old = client.create(num_inference_steps=2)["id"]
    client.wait(old, "completed")
    feed = read_events(client.url)
    place = next(feed).id
    assert old in _listed(client)
    engines = Engines(kinora)
    engines.hold()
    running = client.create(**STEPS)["id"]
    client.wait(running, "in_progress")
    _lose(kinora, "nats")
    engines.let_go()
    reset = _until_reset(client.url, feed, place)
    assert client.get(old) == {}
    wait_until(lambda: _listed(client) == [], seconds=15, what="the list is empty")
    new = [client.create(**STEPS)["id"] for _ in range(2)]
    for video_id in new:
        client.wait(video_id, "completed", seconds=90)
    assert sorted(_listed(client)) == sorted(new)
    told = {e.subject for e in _read_until(client.url, reset, new[-1]) if e.subject}
    assert told == set(new), "everything that is there now, and nothing of before"
    wait_until(
        lambda: f"{running}: attempt 1 ended: lost" in _worker_logs(kinora),
        seconds=60,
        what="the worker of a forgotten video let go",
    )


def _until_reset(url: str, feed: Iterator[StreamEvent], place: str) -> str:
    """Read on, and resume after every interruption, until the feed says that it was begun anew."""

    def reset() -> str | None:
        nonlocal feed, place
        try:
            for event in feed:
                place = event.id
                if event.type == "reset":
                    return place
        except (requests.RequestException, AssertionError):
            pass
        feed = read_events(url, place)
        return None

    return wait_until(reset, seconds=60, what="the feed was reset")


def _read_until(url: str, place: str, video_id: str) -> Iterator[StreamEvent]:
    for event in read_events(url, place):
        yield event
        if event.subject == video_id and ".completed." in event.type:
            return


def _worker_logs(stack: RunningStack) -> str:
    names = ("generate-1", "generate-2")
    return "".join(stack.stack.log_of(name).read_text(errors="replace") for name in names)


def _fill(stack: RunningStack) -> None:
    """Write until the store refuses."""
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{stack.stack.ports['s3']}",
        region_name="us-east-1",
        aws_access_key_id=stack.credentials.access_key,
        aws_secret_access_key=stack.credentials.secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )

    def refused() -> bool:
        try:
            client.put_object(Bucket="kinora", Key=f"filling/{uuid.uuid4()}", Body=bytes(600_000))
        except ClientError:
            return True
        return False

    wait_until(refused, seconds=20, what="the store is full")
