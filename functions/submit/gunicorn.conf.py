# ruff: noqa: N999 - the name that gunicorn gives such files
"""How gunicorn runs submit."""

from typing import Any

from functions.shared.api.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "functions.submit.app:create_app()"


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Undo what callers were told has failed, as long as a stop may take."""
    app = getattr(worker, "wsgi", None)  # absent when the app could not be made
    if app is not None:
        app.extensions["kinora.submissions"].finish(graceful_timeout)  # noqa: F405 - from above
