# ruff: noqa: N999 - the name that gunicorn gives such files
"""How gunicorn runs `generate`: `gunicorn -c functions/generate/gunicorn.conf.py`."""

from __future__ import annotations

import os
import signal
from typing import Any

from functions.shared.api.gunicorn import *  # noqa: F403 - settings are module globals to gunicorn

wsgi_app = "functions.generate.app:create_app()"
# One for the video, the rest for probes and for requests that are told "busy".
threads = 4
# A running video is finished after SIGTERM, so this must be at least the time limit of a request
# in the cluster (`timeoutSeconds`); on a laptop a shorter one lets Ctrl-C end the day.
graceful_timeout = int(os.environ.get("DRAIN_SECONDS", "1500"))
# The worker process says nothing to its master while it drains; the probes watch it instead.
timeout = 0


def post_worker_init(worker: Any) -> None:
    """Take no new video from SIGTERM on: gunicorn itself goes on serving open connections."""
    stop = signal.getsignal(signal.SIGTERM)

    def stop_taking_and_stop(number: int, frame: Any) -> None:
        worker.wsgi.extensions["kinora.worker"].stop_taking()
        if callable(stop):
            stop(number, frame)

    signal.signal(signal.SIGTERM, stop_taking_and_stop)


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Wait for the video that is still being made, then end the engine."""
    app = getattr(worker, "wsgi", None)  # absent when the app could not be made
    if app is not None:
        app.extensions["kinora.worker"].drain()
        app.extensions["kinora.engine"].close()
