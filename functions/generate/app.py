"""The function `generate`: takes a request, and keeps the response open while it makes the video.

The open response is what the autoscaler sees of the work, so it lasts as long as the video; but the
video does not depend on it.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Final

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry

from functions.generate.attempt import Attempt, Means
from functions.generate.engine.process import Engine
from functions.generate.worker import Worker
from functions.shared.bus import Bus
from functions.shared.config import Settings, load_settings
from functions.shared.errors import InvalidEvent, Unavailable
from functions.shared.events import read_binary
from functions.shared.http import new_app
from functions.shared.jetstream import JetStream
from functions.shared.ledger import Ledger
from functions.shared.profiles import load_profile
from functions.shared.storage import S3Store, Store

# `dispatch` takes 30 s of silence for a loss; proxies on the way are less patient.
LINE_SECONDS: Final = 2.0


def create_app(
    settings: Settings | None = None,
    bus: Bus | None = None,
    store: Store | None = None,
    engine: Engine | None = None,
) -> Flask:
    """Wire the function. What is not given is the real thing that the environment names.

    The model is loaded from here on, in the engine's own process; `/readyz` tells when it is there.
    """
    settings = settings or load_settings()
    stream = bus or JetStream(settings.nats_url)
    if engine is None:
        engine = Engine(settings.model, hang_seconds=settings.hang_seconds)
        engine.start()
    means = Means(
        Ledger(stream, takeover_grace=settings.takeover_grace_seconds),
        stream,
        store or S3Store.of(settings),
        engine,
        settings.lease_renew_seconds,
    )
    worker = Worker(
        means,
        load_profile(settings.model_profile),
        name=socket.gethostname(),
        lease_seconds=settings.lease_seconds,
    )

    def ready() -> None:
        if engine.failure is not None:
            raise Unavailable(engine.failure)
        if not engine.ready:
            raise Unavailable("The model is being loaded")
        worker.check()
        stream.check()

    app = new_app(
        "generate",
        ready=ready,
        max_body_bytes=settings.max_body_bytes,
        registry=CollectorRegistry(),
    )
    app.extensions["kinora.worker"] = worker
    app.extensions["kinora.engine"] = engine

    @app.post("/")
    def take() -> Response:
        """A CloudEvent in binary mode whose `sequence` is that of the request in REQUESTS."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        event = read_binary(headers, request.get_data())
        sequence = event.attributes.get("sequence", "")
        if re.fullmatch(r"[0-9]{1,19}", sequence) is None:
            raise InvalidEvent("The event needs its place in REQUESTS", param="sequence")
        if not engine.ready:
            raise Unavailable("The model is being loaded", retry_after=5)
        response = Response(_report(worker.take(int(sequence))), mimetype="application/x-ndjson")
        response.headers["x-kinora-worker"] = worker.name
        return response

    return app


def _report(attempt: Attempt) -> Iterator[str]:
    """A line at once, one every two seconds, and a last one that says how it ended."""
    try:
        while True:
            finished = attempt.finished.is_set()
            yield json.dumps(attempt.line()) + "\n"
            if finished:
                return
            attempt.finished.wait(LINE_SECONDS)
    finally:
        attempt.connected = False
