"""A common alternative: FastAPI, and Redis with a hash per video and a list as the queue."""

from __future__ import annotations

import json
import os
import time
import uuid

import redis.asyncio
from fastapi import FastAPI
from pydantic import BaseModel


class Body(BaseModel):
    """The request body."""

    prompt: str
    seconds: str = "2"
    size: str = "96x64"
    num_inference_steps: int = 16
    guidance_scale: float = 4.5
    seed: int | None = None


def create_app() -> FastAPI:
    """Store each video and append its id to the queue."""
    client = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])
    app = FastAPI()

    async def create(body: Body) -> dict[str, object]:
        video_id = f"video_{uuid.uuid4().hex}"
        video = {"id": video_id, "object": "video", "status": "queued", "progress": 0}
        video |= {"created_at": int(time.time()), **body.model_dump()}
        # One round trip and one disk sync for both writes.
        async with client.pipeline(transaction=True) as pipeline:
            pipeline.hset(f"video:{video_id}", mapping={k: json.dumps(v) for k, v in video.items()})
            pipeline.rpush("queue", video_id)
            await pipeline.execute()
        return video

    async def readyz() -> str:
        await client.ping()
        return "ready"

    app.add_api_route("/v1/videos", create, methods=["POST"], status_code=200)
    app.add_api_route("/readyz", readyz)
    return app
