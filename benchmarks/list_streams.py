"""Fills the streams of a real server with many videos, for `lists.py`."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any, Final

import nats
from nats.aio.client import Client

from functions.shared.streams.queue_state import QueueState
from functions.shared.subjects import QUEUE_SUBJECT, REQUESTS, VideoKey
from functions.shared.timestamps import format_rfc3339
from functions.shared.video.profiles import load_profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest
from tests.harness import RunningStack

ACCOUNT: Final = "default"
# The newest 2 % of the videos are queued, but no more than QUEUE_LIMIT lets in; 5 % of the others
# failed, the rest completed.
QUEUED: Final = 0.02
MAX_QUEUED: Final = 10_000
FAILED: Final = 0.05
# Videos published between two acknowledgements: fewer than the server lets wait for its disk.
WINDOW: Final = 500
# A server that writes so much may pause for some seconds.
PUBLISH_SECONDS: Final = 60
# Kinora publishes with such a condition, and NATS keeps the header.
HEADERS: Final = {"Nats-Expected-Last-Subject-Sequence": "0"}
OUTPUT: Final = {"bytes": 3, "sha256": "ab" * 32, "width": 96, "height": 64, "frames": 25}
TIMINGS: Final = {"encoding": 0.1, "denoising": 1.0, "decoding": 0.5, "saving": 0.1}


def video_key(n: int) -> VideoKey:
    """Video `n`: ids do not sort as creation times do."""
    return VideoKey(ACCOUNT, f"video_{n * 2654435761 % 2**32:08x}")


class Videos:
    """Generates the events that fill the streams, from a fixed seed."""

    def __init__(self, number: int) -> None:
        """Prepare `number` videos."""
        self.random = random.Random(1)  # noqa: S311 - reproducible content
        self.outcomes = random.Random(2)  # noqa: S311 - as above
        self.words = [f"w{self.random.getrandbits(20):05x}" for _ in range(3000)]
        self.number = number
        self.first_queued = number - min(int(number * QUEUED), MAX_QUEUED)
        profile, key = load_profile("demo"), video_key(0)
        resolved = ResolvedRequest.resolve(
            VideoRequest(prompt="x"), profile, key.account, key.video_id
        )
        self.resolved = resolved.model_dump(exclude_none=True)

    def prompt(self, n: int) -> str:
        """Fifteen random words; one prompt in 20,000 also contains "needle"."""
        words = self.random.choices(self.words, k=15)
        return " ".join([*words, "needle"] if n % 20_000 == 77 else words)

    def request(self, n: int) -> dict[str, Any]:
        """The resolved request for video `n`; call it for one after the other."""
        metadata = {"team": "abcd"[n % 4], "order": str(n)}
        return self.resolved | {"prompt": self.prompt(n), "metadata": metadata}

    def end(self, n: int, request: dict[str, Any]) -> tuple[str, bytes]:
        """The subject and the terminal event of video `n`, which was requested just now."""
        key = video_key(n)
        name = "failed" if self.outcomes.random() < FAILED else "completed"
        created = format_rfc3339(time.time_ns())
        data = {"created_at": created, "request": request, "attempt": 1, "worker": "w1"}
        if name == "failed":
            data["error"] = {"code": "x", "message": "y"}
        else:
            output = {"prefix": f"{key.object_prefix}1-x/", **OUTPUT}
            data |= {"output": output, "timings": TIMINGS, "model_revision": "r"}
        return key.event_subject(name), _event(name, key, data)


def _event(name: str, key: VideoKey, data: dict[str, Any]) -> bytes:
    event = {
        "specversion": "1.0",
        "id": f"{key.video_id}-{name}",
        "source": "/benchmark",
        "type": f"dev.kinora.video.{name}.v1",
        "subject": key.video_id,
        "data": data,
    }
    return json.dumps(event).encode()


def start(folder: Path) -> RunningStack:
    """A stack below `folder`, whose server does not sync each message: writes are not measured."""
    stack = RunningStack(folder)
    settings = folder / "nats.conf"
    settings.write_text(
        settings.read_text().replace("sync_interval: always", 'sync_interval: "1m"')
    )
    stack.start_servers()
    return stack


def fill(url: str, videos: Videos) -> None:
    """Publish all events to the server at `url`."""
    asyncio.run(_fill(url, videos))


async def _fill(url: str, videos: Videos) -> None:
    client = await nats.connect(url)
    stream = client.jetstream()
    for first in range(0, videos.number, WINDOW):
        numbers = range(first, min(first + WINDOW, videos.number))
        requests = {n: videos.request(n) for n in numbers}
        await _publish(
            client,
            [
                (video_key(n).request_subject, _event("requested", video_key(n), request))
                for n, request in requests.items()
            ],
        )
        ended = [
            videos.end(n, request) for n, request in requests.items() if n < videos.first_queued
        ]
        await _publish(client, ended)
    # As if `dispatch` had settled the requests of all videos that ended.
    answer = await client.request(f"$JS.API.STREAM.INFO.{REQUESTS}", timeout=PUBLISH_SECONDS)
    state = QueueState(
        created=json.loads(answer.data)["created"],
        requests=videos.number,
        unsettled=((videos.first_queued + 1, videos.number),),
    )
    await stream.publish(QUEUE_SUBJECT, state.model_dump_json().encode())
    await client.close()


async def _publish(client: Client, messages: list[tuple[str, bytes]]) -> None:
    # The server takes one connection's messages in order, so the last one tells of all before it.
    for subject, payload in messages[:-1]:
        await client.publish(subject, payload, headers=HEADERS)
    for subject, payload in messages[-1:]:
        publish = client.jetstream().publish
        await publish(subject, payload, timeout=PUBLISH_SECONDS, headers=HEADERS)
