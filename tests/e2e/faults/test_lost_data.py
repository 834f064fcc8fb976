"""Servers that restart without their data or run out of space: only the lost data is affected."""

from __future__ import annotations

import re
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
from tests.log_lines import logged
from tests.patience import scaled, wait_until

pytestmark = pytest.mark.long

# One volume of 1 MB: beyond it, SeaweedFS refuses uploads as with a full disk.
SMALL_DISK = ["-volume.max=1", "-master.volumeSizeLimitMB=1"]
REFUSED = re.compile("(no video is started|waits for its upload): .*InternalError")


@pytest.fixture(scope="module")
def kinora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A separate stack with short leases and one worker, because these tests remove its data."""
    stack = RunningStack(tmp_path_factory.mktemp("lost"), SHORT, replicas=1)
    try:
        stack.start_all()
        yield stack
    finally:
        stack.close()


def _lose_data(stack: RunningStack, server: str) -> None:
    stack.kill(server)
    stack.remove_data(server)
    stack.start(server)
    stack.set_up()


def _content(client: Client, video_id: str) -> requests.Response:
    return requests.get(f"{client.url}/v1/videos/{video_id}/content", timeout=scaled(20))


def _listed(client: Client) -> list[str]:
    """The videos in the list. It answers 503 while it reads the streams again."""

    def listed() -> requests.Response | None:
        answer = requests.get(f"{client.url}/v1/videos", timeout=scaled(20))
        if answer.status_code == requests.codes.service_unavailable:
            return None
        answer.raise_for_status()
        return answer

    answer = wait_until(listed, seconds=30, what="the list answers")
    return [video["id"] for video in answer.json()["data"]]


def test_lost_files_are_reported_and_new_videos_are_stored(
    kinora: RunningStack, client: Client
) -> None:
    """The video still exists, its file is reported as lost, and the next video completes."""
    lost = client.create(num_inference_steps=2)["id"]
    client.wait(lost, "completed")
    _lose_data(kinora, "s3")
    assert client.get(lost)["status"] == "completed"
    answer = _content(client, lost)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "content_lost")
    kept = client.create(num_inference_steps=2)["id"]
    client.wait(kept, "completed")
    assert client.frames(kept).size


def test_a_full_store_costs_no_attempt(kinora: RunningStack, client: Client) -> None:
    """A video waits, unclaimed or with its files, and is stored once there is space."""
    unlimited = kinora.table["s3"]
    kinora.table["s3"] = replace(unlimited, argv=[*unlimited.argv, *SMALL_DISK])
    _lose_data(kinora, "s3")
    _fill(kinora)
    video_id = client.create(num_inference_steps=2)["id"]
    wait_until(
        lambda: REFUSED.search(_worker_log(kinora)), seconds=60, what="the full store is told"
    )
    kinora.kill("s3")
    kinora.table["s3"] = unlimited
    kinora.start("s3")
    video = client.wait(video_id, "completed", "failed")
    assert (video["status"], video["attempt"]) == ("completed", 1)
    assert client.frames(video_id).size


def test_functions_recover_without_a_restart_after_nats_lost_all_data(
    kinora: RunningStack, client: Client
) -> None:
    """The list and the event stream start over, and a busy worker abandons its video."""
    old = client.create(num_inference_steps=2)["id"]
    client.wait(old, "completed")
    stream = read_events(client.url)
    last_id = next(stream).id
    assert old in _listed(client)
    engines = Engines(kinora)
    engines.hold()
    running = client.create(**STEPS)["id"]
    client.wait(running, "in_progress")
    _lose_data(kinora, "nats")
    engines.resume()
    reset = _read_until_reset(client.url, stream, last_id)
    assert client.get(old) == {}
    wait_until(lambda: _listed(client) == [], seconds=15, what="the list is empty")
    new = [client.create(**STEPS)["id"] for _ in range(2)]
    for video_id in new:
        client.wait(video_id, "completed", seconds=90)
    assert sorted(_listed(client)) == sorted(new)
    streamed = {e.subject for e in _read_until(client.url, reset, new[-1]) if e.subject}
    assert streamed == set(new), "all current videos, and none of the earlier ones"
    wait_until(
        lambda: logged(_worker_log(kinora), "attempt ended: lost", video_id=running, attempt=1),
        seconds=60,
        what="the worker of the lost video abandoned it",
    )


def _read_until_reset(url: str, stream: Iterator[StreamEvent], last_id: str) -> str:
    """Read, and resume after every interruption, until a `reset` event; return its id."""

    def reset() -> str | None:
        nonlocal stream, last_id
        try:
            for event in stream:
                last_id = event.id
                if event.type == "reset":
                    return last_id
        except (requests.RequestException, AssertionError):
            pass
        stream = read_events(url, last_id)
        return None

    return wait_until(reset, seconds=60, what="the event stream was reset")


def _read_until(url: str, last_id: str, video_id: str) -> Iterator[StreamEvent]:
    for event in read_events(url, last_id):
        yield event
        if event.subject == video_id and ".completed." in event.type:
            return


def _worker_log(stack: RunningStack) -> str:
    return stack.stack.log_of("generate-1").read_text(errors="replace")


def _fill(stack: RunningStack) -> None:
    """Upload objects until the store refuses one."""
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
