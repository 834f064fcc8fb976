# ruff: noqa: N999 - the name that gunicorn gives such files
"""Settings of gunicorn for `status`."""

import gc

from functions.shared.api.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "functions.status.app:create_app()"
# Each open event stream and download holds one: MAX_FEEDS and MAX_DOWNLOADS in `app.py`, and 32 for
# all other requests.
threads = 192


def post_worker_init(worker: object) -> None:  # noqa: ARG001 - gunicorn's signature
    """Leave what lives as long as the process out of all later garbage collections.

    Each would look through it for 50 ms, in which no request is answered.
    """
    gc.collect()
    gc.freeze()
