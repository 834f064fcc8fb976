# ruff: noqa: N999 - the name that gunicorn gives such files
"""Settings of gunicorn for `status`."""

import gc
import resource

from functions.shared.api.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "functions.status.app:create_app()"
# Each open event stream and download holds one, MAX_FEEDS and MAX_DOWNLOADS in `app.py`; the rest
# is for other requests. Eight more than Knative sends requests at a time, of which 1,000 is its
# maximum. A thread that waits costs little: benchmarks/README.md, Event streams.
threads = 1008
# Beside requests that have a thread, those that wait for one, and idle connections of the proxies.
worker_connections = 2000
# Twice that: the index and the connections to NATS and the object store need some, too.
DESCRIPTORS = 4000


def post_worker_init(worker: object) -> None:  # noqa: ARG001 - gunicorn's signature
    """Prepare the process for its connections and its garbage collections.

    Many systems let a process have 1,024 descriptors until it asks for more. What lives as long as
    the process is left out of later collections: each would look through it for 50 ms, in which no
    request is answered.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < DESCRIPTORS:
        allowed = DESCRIPTORS if hard == unlimited else min(DESCRIPTORS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    gc.collect()
    gc.freeze()
