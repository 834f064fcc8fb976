# ruff: noqa: N999 - the name that gunicorn gives such files
"""gunicorn's settings for `submit`."""

from typing import Any

from functions.shared.api.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "functions.submit.app:create_app()"
# Four more than it is sent requests at a time (`containerConcurrency`), so that probes are answered
# while all of those wait for NATS. Deletions may take MAX_DELETIONS in `app.py` of them.
threads = 36


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Withdraw the requests that callers were told had failed, within the grace period."""
    app = getattr(worker, "wsgi", None)  # absent if the app could not be created
    if app is not None:
        app.extensions["kinora.submissions"].drain(graceful_timeout)  # noqa: F405 - from above
