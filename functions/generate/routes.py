"""The HTTP route of `generate`: accepts a request, and keeps the response open meanwhile.

The open response shows the autoscaler that this replica is busy, so it lasts as long as the
attempt; but the attempt does not depend on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from flask import Flask, Response, request

from functions.generate.attempt import Attempt
from functions.generate.render_engine import RenderEngine
from functions.generate.worker import Worker
from functions.shared.errors import InvalidEvent, Unavailable
from functions.shared.streams.cloudevents import read_binary_attributes

# `dispatch` treats 30 s of silence as a loss; proxies in between may be less patient.
STATUS_LINE_SECONDS: Final = 2.0


class GenerateRoutes:
    """Serves `dispatch`."""

    def __init__(self, worker: Worker, engine: RenderEngine) -> None:
        """Start attempts on `worker`, once `engine` is ready."""
        self._worker = worker
        self._engine = engine

    def register(self, app: Flask) -> None:
        """Add the route to `app`."""
        app.add_url_rule("/", "start_attempt", self.start_attempt, methods=["POST"])

    def start_attempt(self) -> Response:
        """Accept a CloudEvent in binary mode; `sequence` is the request's in the stream REQUESTS.

        Its data is not parsed: the worker reads the request from the stream.
        """
        # Only received, within the size limit: an unread body would block its sender.
        request.get_data(cache=False)
        headers = {name.lower(): value for name, value in request.headers.items()}
        sequence = read_binary_attributes(headers).get("sequence", "")
        if re.fullmatch(r"[0-9]{1,19}", sequence) is None:
            raise InvalidEvent("The event needs its sequence in REQUESTS", param="sequence")
        if not self._engine.ready:
            raise Unavailable("The model is being loaded", retry_after=5)
        attempt = self._worker.start_attempt(int(sequence))
        response = Response(_status_lines(attempt), mimetype="application/x-ndjson")
        # Called even if the client disconnects before the first line.
        response.call_on_close(attempt.disconnect)
        response.headers["x-kinora-worker"] = self._worker.name
        return response


def _status_lines(attempt: Attempt) -> Iterator[str]:
    """The state at once, then every two seconds, and finally the outcome."""
    while True:
        finished = attempt.finished.is_set()
        yield json.dumps(attempt.status_line()) + "\n"
        if finished:
            return
        attempt.finished.wait(STATUS_LINE_SECONDS)
