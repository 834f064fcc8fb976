"""What all functions tell gunicorn. `functions/<name>/gunicorn.conf.py` imports every name here.

The names are gunicorn's settings; each function adds `wsgi_app` and what is its own.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = [
    "bind",
    "control_socket_disable",
    "forwarded_allow_ips",
    "graceful_timeout",
    "keepalive",
    "limit_request_line",
    "threads",
    "worker_class",
    "worker_tmp_dir",
    "workers",
]

bind = f"{os.environ.get('HOST') or '127.0.0.1'}:{os.environ.get('PORT') or '8080'}"

# One process holds one connection to NATS and one index; more of them is the autoscaler's affair.
workers = 1
# Threads, because requests wait for NATS, S3 and event streams, and compute next to nothing.
# gunicorn's "gthread", which answers what it can't read with the API's own errors.
worker_class = "functions.shared.api.gunicorn_worker.Worker"
threads = 16

# Longer than the idle connections of the proxies in front (Caddy's are set to 60 s, those of
# Knative's queue-proxy live 90 s): who reuses a connection must not meet one that is being closed.
keepalive = 120
# So long may requests under way take after SIGTERM.
graceful_timeout = int(os.environ.get("GRACEFUL_TIMEOUT") or 30)

# The most that gunicorn takes: a query may hold a part of a prompt, percent-encoded.
limit_request_line = 8190

# Nothing depends on what proxies say of the scheme; two that contradict each other are no error.
forwarded_allow_ips = ""

# gunicorn would open it in the home directory, which is read-only in a container.
control_socket_disable = True
# The worker's heartbeat is a file; on a slow or read-only disk a healthy worker would be killed.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - memory, not a shared file
