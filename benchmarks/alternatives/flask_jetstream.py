"""The baseline: a Flask route that publishes fixed bytes and waits for JetStream's ack."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from flask import Flask, Response, request

from functions.shared.streams.cloudevents import STRUCTURED
from functions.shared.streams.nats_connection import NatsConnection


def create_app() -> Flask:
    """Publish the content of the file PAYLOAD on every request, each time as a new video."""
    connection = NatsConnection(os.environ["NATS_URL"])
    payload = Path(os.environ["PAYLOAD"]).read_bytes()
    headers = {"content-type": STRUCTURED, "Nats-Expected-Last-Subject-Sequence": "0"}
    app = Flask("bare")

    @app.post("/v1/videos")
    def create() -> Response:
        request.get_data()  # gunicorn would otherwise read the body after the response
        subject = f"kinora.requests.default.video_{uuid.uuid4().hex}"
        answer = json.loads(connection.request(subject, payload, headers).data)
        if "seq" not in answer:
            raise RuntimeError(str(answer))
        return Response(json.dumps(answer), status=200, content_type="application/json")

    @app.get("/readyz")
    def readyz() -> str:
        connection.max_payload()
        return "ready"

    return app
