# ruff: noqa: N999 - the name that gunicorn gives such files
"""Settings of gunicorn for `status`."""

import gc

from functions.shared.api.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "functions.status.app:create_app()"
# Each open event stream and download holds one, MAX_FEEDS and MAX_DOWNLOADS in `app.py`; the rest
# is for other requests. Eight more than Knative sends requests at a time, of which 1,000 is its
# maximum. A thread that waits costs little: benchmarks/README.md, Event streams.
threads = 1008
# Beside requests that have a thread, those that wait for one, and idle connections of the proxies.
worker_connections = 2000


def post_worker_init(worker: object) -> None:  # noqa: ARG001 - gunicorn's signature
    """Leave what lives as long as the process out of all later garbage collections.

    Each would look through it for 50 ms, in which no request is answered.
    """
    gc.collect()
    gc.freeze()
