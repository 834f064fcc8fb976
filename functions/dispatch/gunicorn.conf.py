# ruff: noqa: N999 - the name that gunicorn gives such files
"""How gunicorn runs dispatch: `gunicorn -c functions/dispatch/gunicorn.conf.py`."""

from __future__ import annotations

from typing import Any

from functions.shared.api.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "functions.dispatch.app:create_app()"
# For probes only; the programs have threads of their own.
threads = 2

PROGRAMS = (
    "kinora.webhooks",
    "kinora.turns",
    "kinora.dispatcher",
    "kinora.sweeper",
    "kinora.lost-videos",
    "kinora.stream-samples",
)


def post_worker_init(worker: Any) -> None:
    """Start the programs once the worker process is up."""
    for name in PROGRAMS:
        program = worker.wsgi.extensions.get(name)
        if program is not None:
            program.start()


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Return deliveries in flight, so that another process takes them over in a second."""
    extensions = getattr(getattr(worker, "wsgi", None), "extensions", {})
    for name in reversed(PROGRAMS):
        program = extensions.get(name)
        if program is not None:
            program.stop()
