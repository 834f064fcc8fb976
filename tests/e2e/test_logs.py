"""What the logs tell: one request, followed through every function that it passes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import requests

from functions.shared.streams.jetstream import JetStream
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from local.stack import ROOT
from tests.e2e.client import TINY, Client
from tests.harness import RunningStack
from tests.log_lines import logged
from tests.nats_users import NatsUsersStack
from tests.patience import scaled, wait_until

# A caller's own, as a customer quotes it.
REQUEST_ID = "order-17.retry_2"
PROMPT = "a red circle that nobody else describes"


def test_a_request_is_followed_by_its_id(kinora: NatsUsersStack, client: Client) -> None:
    """Each function logs what changed, with the id of the HTTP request; so do the events.

    The prompt is in no log.
    """
    response = requests.post(
        f"{client.url}/v1/videos",
        json={"prompt": PROMPT, **TINY},
        headers={"x-request-id": REQUEST_ID},
        timeout=scaled(20),
    )
    assert response.headers["x-request-id"] == REQUEST_ID
    video_id = response.json()["id"]
    client.wait(video_id, "completed")
    about = {"request_id": REQUEST_ID, "account": "default", "video_id": video_id}

    def worker() -> str | None:
        ended = "attempt ended: completed"
        names = ("generate-1", "generate-2")
        return next((n for n in names if logged(kinora.log(n), ended, attempt=1, **about)), None)

    name = wait_until(worker, seconds=10, what="the attempt's end is logged")
    for message in ("video started", "attempt begins", "video completed"):
        assert logged(kinora.log(name), message, **about) == 1, message
    assert logged(kinora.log("dispatch"), "sending the request to generate", **about) == 1
    for message in ("video requested", "POST /v1/videos 200"):
        assert logged(kinora.log("submit"), message, **about) == 1, message
    assert not any(PROMPT in kinora.log(n) for n in ("submit", "status", "dispatch", name))

    key = VideoKey("default", video_id)
    bus = JetStream(kinora.nats_url_of("operator"))
    for stream, subjects in ((REQUESTS, key.request_subject), (VIDEOS, key.events_filter)):
        stored = bus.get_last_message(stream, subjects, leader=True)
        assert stored is not None
        assert json.loads(stored.data)["requestid"] == REQUEST_ID
    bus.close()

    followed = _follow(kinora, REQUEST_ID)
    assert [line.partition(" ")[0] for line in followed.stdout.splitlines()].count(name) >= 4
    assert "submit" in followed.stdout
    assert "dispatch" in followed.stdout
    assert video_id in _follow(kinora, video_id).stdout
    assert _follow(kinora, "order-17").returncode == 1, "a part of an id is another id"


def _follow(kinora: RunningStack, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local.follow", name],
        env={**os.environ, "KINORA_DATA": str(kinora.stack.data)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_nobody_reads_is_not_logged(kinora: RunningStack, client: Client) -> None:
    """Neither probes, nor each caller that closes an event stream, with all of its headers."""
    with requests.get(f"{client.url}/v1/events", stream=True, timeout=scaled(20)) as stream:
        next(stream.iter_lines())
    # To the end: the next test may need an idle worker.
    client.wait(client.create(**TINY)["id"], "completed")
    for name in ("submit", "status", "generate-1"):
        log = kinora.log(name)
        assert not any(f"GET {path}" in log for path in ("/readyz", "/healthz", "/health"))
    assert "aborting with incomplete response" not in kinora.log("gateway")
    assert "/readyz" not in kinora.log("activator")
    assert "status code out of tolerances" not in kinora.log("activator")
