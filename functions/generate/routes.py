"""The HTTP route of `generate`: takes a request, and keeps the response open while it is made.

The open response is what the autoscaler sees of the work, so it lasts as long as the video; but the
video does not depend on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from flask import Flask, Response, request

from functions.generate.attempt import Attempt
from functions.generate.engine.parent.engine import Engine
from functions.generate.worker import Worker
from functions.shared.errors import InvalidEvent, Unavailable
from functions.shared.streams.cloudevents import read_binary

# `dispatch` takes 30 s of silence for a loss; proxies on the way are less patient.
LINE_SECONDS: Final = 2.0


class GenerateRoutes:
    """Answers `dispatch`."""

    def __init__(self, worker: Worker, engine: Engine) -> None:
        """Have videos made by `worker`, once `engine` is ready."""
        self._worker = worker
        self._engine = engine

    def register(self, app: Flask) -> None:
        """Add the route to `app`."""
        app.add_url_rule("/", "take", self.take, methods=["POST"])

    def take(self) -> Response:
        """A CloudEvent in binary mode whose `sequence` is that of the request in REQUESTS."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        sequence = read_binary(headers, request.get_data()).attributes.get("sequence", "")
        if re.fullmatch(r"[0-9]{1,19}", sequence) is None:
            raise InvalidEvent("The event needs its place in REQUESTS", param="sequence")
        if not self._engine.ready:
            raise Unavailable("The model is being loaded", retry_after=5)
        attempt = self._worker.take(int(sequence))
        response = Response(_lines(attempt), mimetype="application/x-ndjson")
        # Called even if the client was gone before the first line.
        response.call_on_close(attempt.disconnect)
        response.headers["x-kinora-worker"] = self._worker.name
        return response


def _lines(attempt: Attempt) -> Iterator[str]:
    """A line at once, one every two seconds, and a last one that says how it ended."""
    while True:
        finished = attempt.finished.is_set()
        yield json.dumps(attempt.line()) + "\n"
        if finished:
            return
        attempt.finished.wait(LINE_SECONDS)
