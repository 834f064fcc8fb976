"""The baseline of reads: a Flask route that sends what one direct get of JetStream returns."""

from __future__ import annotations

import os

from flask import Flask, Response

from functions.shared.streams.jetstream import JetStream
from functions.shared.subjects import VIDEOS, VideoKey


def create_app() -> Flask:
    """Send a video's newest event as it is stored, without reading it."""
    bus = JetStream(os.environ["NATS_URL"])
    app = Flask("bare")

    @app.get("/v1/videos/<video_id>")
    def read(video_id: str) -> Response:
        key = VideoKey("default", video_id)
        message = bus.get_last_message(VIDEOS, key.events_filter, leader=False)
        if message is None:
            raise RuntimeError(video_id)
        return Response(message.data, content_type="application/json")

    @app.get("/readyz")
    def readyz() -> str:
        bus.check()
        return "ready"

    return app
