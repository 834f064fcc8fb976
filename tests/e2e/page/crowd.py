"""Thousands of videos, published straight into JetStream as `generate` would have left them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import nats

from functions.shared.subjects import VideoKey
from functions.shared.timestamps import NANOSECONDS, format_rfc3339
from functions.shared.video.events import EventName
from functions.shared.video.profiles import Profile, load_profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest

NUMBER: Final = 10_000
# Evenly spread, and within the 30 days for which videos are kept.
DAYS: Final = 25
# Publishes in flight at a time.
WINDOW: Final = 1_000


def prompt_of(number: int) -> str:
    """Prompts differ in a number; the newest video has number 0. Each hundredth shows a whale."""
    subject = "a whale" if number % 100 == 7 else "a bird"
    return f"{subject} crosses the evening sky above a small harbour town, take {number}"


def publish(
    nats_url: str,
    account: str,
    count: int = NUMBER,
    prompt: Callable[[int], str] = prompt_of,
) -> None:
    """Fill the account with `count` videos, the newest of which has the number 0."""
    # On a thread of its own: Playwright runs an event loop on the test's.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _publish(nats_url, account, count, prompt)).result()


async def _publish(nats_url: str, account: str, count: int, prompt: Callable[[int], str]) -> None:
    client = await nats.connect(nats_url)
    stream = client.jetstream(publish_async_max_pending=2 * WINDOW)
    profile, now = load_profile("demo"), time.time_ns()
    acknowledged = []
    for number in range(count):
        key = VideoKey(account, f"video_{number:05d}")
        created = now - number * (DAYS * 86_400 * NANOSECONDS // count)
        event = _event(key, number, prompt(number), created, profile)
        acknowledged.append(
            await stream.publish_async(
                key.event_subject(EventName(event["name"])), json.dumps(event["body"]).encode()
            )
        )
        if len(acknowledged) >= WINDOW:
            await asyncio.gather(*acknowledged)
            acknowledged.clear()
    await asyncio.gather(*acknowledged)
    await client.close()


def _event(
    key: VideoKey, number: int, prompt: str, created: int, profile: Profile
) -> dict[str, Any]:
    """The terminal event of a video; one of twenty failed."""
    wanted = VideoRequest(prompt=prompt, seed=number)
    request = ResolvedRequest.resolve(wanted, profile, key.account, key.video_id)
    data: dict[str, Any] = {
        "created_at": format_rfc3339(created),
        "started_at": format_rfc3339(created),
        "request": request.model_dump(),
        "attempt": 1,
        "worker": "w1",
    }
    name = "failed" if number % 20 == 3 else "completed"
    if name == "failed":
        data["error"] = {"code": "engine_crashed", "message": "The engine stopped three times."}
    else:
        size = {"bytes": 30_000, "width": 96, "height": 64, "frames": 25}
        data["output"] = {"prefix": f"{key.object_prefix}1-x/", "sha256": f"{number:064x}", **size}
        data["timings"] = {"encoding": 0.1, "denoising": 0.8, "decoding": 0.5, "saving": 0.1}
        data["model_revision"] = "r"
    body = {
        "specversion": "1.0",
        "id": f"{key.video_id}-{name}",
        "source": "/tests",
        "type": f"dev.kinora.video.{name}.v1",
        "subject": key.video_id,
        "data": data,
    }
    return {"name": name, "body": body}
