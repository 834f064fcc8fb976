# ruff: noqa: N999 - the name that gunicorn gives such files
"""How gunicorn runs `generate`: `gunicorn -c functions/generate/gunicorn.conf.py`."""

from __future__ import annotations

import os
import signal
from typing import Any

from functions.shared.api.gunicorn import *  # noqa: F403 - settings are module globals to gunicorn

wsgi_app = "functions.generate.app:create_app()"
# One for the open response, the rest for probes and for requests that get "busy".
threads = 4
# A running video is finished after SIGTERM, so this must be at least the cluster's time limit of a
# request (`timeoutSeconds`); a shorter one on a laptop lets Ctrl-C end the stack soon.
graceful_timeout = int(os.environ.get("DRAIN_SECONDS", "1500"))


def post_worker_init(worker: Any) -> None:
    """Accept no more requests after SIGTERM, while gunicorn still serves open connections."""
    stop = signal.getsignal(signal.SIGTERM)

    def stop_accepting_and_stop(number: int, frame: Any) -> None:
        worker.wsgi.extensions["kinora.worker"].stop_accepting()
        if callable(stop):
            stop(number, frame)

    signal.signal(signal.SIGTERM, stop_accepting_and_stop)


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Wait for the current attempt, then close the engine."""
    app = getattr(worker, "wsgi", None)  # absent if the app could not be created
    if app is not None:
        app.extensions["kinora.worker"].drain()
        app.extensions["kinora.engine"].close()
