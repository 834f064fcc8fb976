"""Publishes many messages straight into the streams, faster than the functions would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Final

import nats

from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName

# Publishes in flight. The server syncs them to the disk together.
_WINDOW: Final = 500


def message(key: VideoKey, name: EventName, data: object) -> tuple[str, bytes]:
    """The subject and the payload of an event, or of a request."""
    requested = name is EventName.REQUESTED
    subject = key.request_subject if requested else key.event_subject(name)
    event = {
        "specversion": "1.0",
        "id": f"{key.video_id}-{name}",
        "source": "/bulk",
        "type": name.type,
        "data": data,
    }
    return subject, json.dumps(event, ensure_ascii=False).encode()


def publish_all(url: str, messages: Iterable[tuple[str, bytes]]) -> None:
    """Publish to the server at `url`, in order; return when all is stored."""
    asyncio.run(_publish_all(url, messages))


async def _publish_all(url: str, messages: Iterable[tuple[str, bytes]]) -> None:
    client = await nats.connect(url)
    stream = client.jetstream(publish_async_max_pending=2 * _WINDOW)
    acks = []
    for subject, payload in messages:
        acks.append(await stream.publish_async(subject, payload))
        if len(acks) == _WINDOW:
            await asyncio.gather(*acks)
            acks.clear()
    await asyncio.gather(*acks)
    await client.close()
