"""Trouble with the object store costs neither an attempt nor a rendering, and is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import requests

from functions.shared.streams.jetstream import JetStream
from functions.shared.subjects import VIDEOS, VideoKey
from tests.e2e.client import Client
from tests.e2e.faults.stack import SHORT
from tests.engines import STEPS, Engines
from tests.harness import RunningStack
from tests.log_lines import logged
from tests.patience import scaled, wait_until
from tests.wrong_clocks import wrong_clock

pytestmark = pytest.mark.long

WORKER = "generate-1"
USERS = ("dispatch", WORKER)
TOLD = "no video is started: The object store refuses connections"
REFUSED = "The object store refuses connections"
# Seconds of waiting, as the lease is renewed every second. boto3's own retries end within four.
RENEWALS = 20


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A separate stack with short leases and one worker, because these tests stop its store."""
    stack = RunningStack(tmp_path_factory.mktemp("outages"), SHORT, replicas=1)
    try:
        stack.start_all()
        yield stack
    finally:
        stack.close()


@pytest.fixture
def kinora(shared: RunningStack) -> Iterator[RunningStack]:
    """The shared stack; its store is started again after each test, even a failed one."""
    yield shared
    if "s3" not in shared.running:
        shared.start("s3")


@pytest.fixture
def bus(kinora: RunningStack) -> Iterator[JetStream]:
    """A connection to NATS."""
    bus = JetStream(kinora.nats_url)
    yield bus
    bus.close()


def _reason(kinora: RunningStack, name: str) -> str:
    """Why a function is not ready; empty while it is, or does not listen yet."""
    url = f"http://127.0.0.1:{kinora.table[name].probe.port}/readyz"
    try:
        return str(requests.get(url, timeout=scaled(10)).json().get("error", {}).get("message", ""))
    except requests.ConnectionError:
        return ""


def _wait_for_reason(kinora: RunningStack, words: str) -> None:
    wait_until(
        lambda: all(words in _reason(kinora, name) for name in USERS), seconds=60, what=words
    )
    assert _reason(kinora, "dispatch").startswith("Dispatching is paused.")


def _logs(kinora: RunningStack, *names: str) -> str:
    return "".join(kinora.stack.log_of(name).read_text(errors="replace") for name in names)


def _last_event(bus: JetStream, video_id: str) -> int:
    """The sequence of a video's newest event; 0 without one."""
    key = VideoKey("default", video_id)
    message = bus.get_last_message(VIDEOS, key.events_filter, leader=True)
    return 0 if message is None else message.seq


def _check_rendered_once(kinora: RunningStack, client: Client, *videos: str) -> None:
    for video_id in videos:
        video = client.wait(video_id, "completed", "failed", seconds=90)
        assert (video["status"], video["attempt"]) == ("completed", 1)
        assert logged(_logs(kinora, WORKER), "attempt begins", video_id=video_id, attempt=1) == 1
        assert client.frames(video_id).size


def _render_into_an_outage(kinora: RunningStack, client: Client, engines: Engines) -> str:
    """The id of a video that was rendered while the store was stopped, and waits for it."""
    engines.hold()
    video_id: str = client.create(**STEPS)["id"]
    client.wait(video_id, "in_progress")
    kinora.kill("s3")
    engines.resume()
    waits = f"default/{video_id}/1-"
    wait_until(
        lambda: any(
            waits in line and "waits for its upload" in line
            for line in _logs(kinora, WORKER).splitlines()
        ),
        seconds=60,
        what="the upload waits",
    )
    return video_id


def test_videos_that_were_requested_during_an_outage_are_rendered_once(
    kinora: RunningStack, client: Client, bus: JetStream
) -> None:
    """Those requested before the outage is noticed, and those after, which nobody claims."""
    kinora.kill("s3")
    early = [client.create(num_inference_steps=2)["id"] for _ in range(2)]
    _wait_for_reason(kinora, REFUSED)
    wait_until(
        lambda: all(TOLD in _logs(kinora, name) for name in USERS), seconds=60, what="it is told"
    )
    late = [client.create(num_inference_steps=2)["id"] for _ in range(2)]
    assert [_last_event(bus, video_id) for video_id in late] == [0, 0]
    kinora.start("s3")
    _check_rendered_once(kinora, client, *early, *late)
    for name in USERS:
        kinora.wait_ready(name)
        assert _logs(kinora, name).count(TOLD) == 1


def test_a_video_that_was_rendered_during_an_outage_is_uploaded_after_it(
    kinora: RunningStack, client: Client, bus: JetStream, engines: Engines
) -> None:
    """It keeps its files and its lease, and is completed by the attempt that rendered it."""
    video_id = _render_into_an_outage(kinora, client, engines)
    first = _last_event(bus, video_id)
    wait_until(
        lambda: _last_event(bus, video_id) >= first + RENEWALS,
        seconds=90,
        what="the lease is renewed for a while",
    )
    assert client.get(video_id)["status"] == "in_progress"
    kinora.start("s3")
    _check_rendered_once(kinora, client, video_id)


def test_a_video_that_waits_for_its_upload_can_be_cancelled(
    kinora: RunningStack, client: Client, engines: Engines
) -> None:
    """Its worker gives up the upload though the store is still away."""
    video_id = _render_into_an_outage(kinora, client, engines)
    requests.post(
        f"{client.url}/v1/videos/{video_id}/cancel", timeout=scaled(20)
    ).raise_for_status()
    wait_until(
        lambda: logged(_logs(kinora, WORKER), "attempt ended: lost", video_id=video_id, attempt=1),
        seconds=15,
        what="the worker gave the video up",
    )
    assert client.get(video_id)["error"]["code"] == "cancelled"
    kinora.start("s3")
    _check_rendered_once(kinora, client, client.create(num_inference_steps=2)["id"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "AWS_SECRET_ACCESS_KEY is wrong"),
        (wrong_clock("+2h"), "refuses this machine's clock"),
    ],
    ids=["secret", "clock"],
)
def test_a_store_that_refuses_from_the_start_is_told_and_costs_nothing(
    kinora: RunningStack, client: Client, bus: JetStream, changes: dict[str, str], words: str
) -> None:
    """Nothing is ready, and nothing is claimed, until the functions are restarted without it."""
    right = {name: kinora.table[name] for name in USERS}
    for name in USERS:
        kinora.kill(name)
        wrong = {**right[name].env, **changes}
        kinora.table[name] = replace(right[name], env=wrong)
    kinora.launch(*USERS)
    video_id = client.create(num_inference_steps=2)["id"]
    _wait_for_reason(kinora, words)
    assert _last_event(bus, video_id) == 0
    for name in USERS:
        kinora.kill(name)
    kinora.table.update(right)
    kinora.start(*USERS)
    _check_rendered_once(kinora, client, video_id)
