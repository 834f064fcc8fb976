# ruff: noqa: N999 - the name that gunicorn gives such files
"""How gunicorn runs dispatch: `gunicorn -c functions/dispatch/gunicorn.conf.py`."""

from __future__ import annotations

from typing import Any

from functions.shared.api.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "functions.dispatch.app:create_app()"
# Probes only; the slots have threads of their own.
threads = 2


def post_worker_init(worker: Any) -> None:
    """Begin to work once the process is there to stay."""
    for name in ("kinora.dispatcher", "kinora.sweeper", "kinora.webhooks"):
        part = worker.wsgi.extensions.get(name)
        if part is not None:
            part.start()


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Hand back what is open, so that another process goes on with it in a second."""
    extensions = getattr(getattr(worker, "wsgi", None), "extensions", {})
    for name in ("kinora.sweeper", "kinora.dispatcher", "kinora.webhooks"):
        part = extensions.get(name)
        if part is not None:
            part.stop()
