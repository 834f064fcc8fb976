"""A common alternative: FastAPI, and Celery tasks on Redis."""

from __future__ import annotations

import os
import time
import uuid

from celery import Celery
from fastapi import FastAPI

from benchmarks.alternatives.fastapi_redis import Body


def create_app() -> FastAPI:
    """Send a task per request; Celery has its own thread-safe connection pool."""
    queue = Celery("videos", broker=os.environ["REDIS_URL"])
    app = FastAPI()

    # Not async: sending blocks, so FastAPI must run it in a thread.
    def create(body: Body) -> dict[str, object]:
        video_id = f"video_{uuid.uuid4().hex}"
        queue.send_task("generate", kwargs=body.model_dump(), task_id=video_id, ignore_result=True)
        video = {"id": video_id, "object": "video", "status": "queued", "progress": 0}
        return video | {"created_at": int(time.time()), **body.model_dump()}

    def readyz() -> str:
        with queue.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1)
        return "ready"

    app.add_api_route("/v1/videos", create, methods=["POST"], status_code=200)
    app.add_api_route("/readyz", readyz)
    return app
