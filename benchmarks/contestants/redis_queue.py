"""What one would write instead: FastAPI, a hash for each video, and a list as the queue."""

from __future__ import annotations

import json
import os
import time
import uuid

import redis.asyncio
from fastapi import FastAPI
from pydantic import BaseModel


class Body(BaseModel):
    """What is asked for."""

    prompt: str
    seconds: str = "2"
    size: str = "96x64"
    num_inference_steps: int = 16
    guidance_scale: float = 4.5
    seed: int | None = None


def create_app() -> FastAPI:
    """Store a video, and put its id into the queue."""
    client = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])
    app = FastAPI()

    async def create(body: Body) -> dict[str, object]:
        video_id = f"video_{uuid.uuid4().hex}"
        video = {"id": video_id, "object": "video", "status": "queued", "progress": 0}
        video |= {"created_at": int(time.time()), **body.model_dump()}
        # Both at once: one journey, and one sync of the disk.
        async with client.pipeline(transaction=True) as both:
            both.hset(f"video:{video_id}", mapping={k: json.dumps(v) for k, v in video.items()})
            both.rpush("queue", video_id)
            await both.execute()
        return video

    async def readyz() -> str:
        await client.ping()
        return "ready"

    app.add_api_route("/v1/videos", create, methods=["POST"], status_code=202)
    app.add_api_route("/readyz", readyz)
    return app
