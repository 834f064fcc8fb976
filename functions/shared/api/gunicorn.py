"""gunicorn's settings for all functions. `functions/<name>/gunicorn.conf.py` imports every name.

The names are gunicorn's. Each function adds `wsgi_app` and its own settings.
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
    "limit_request_fields",
    "limit_request_line",
    "logger_class",
    "timeout",
    "worker_class",
    "worker_tmp_dir",
    "workers",
]

bind = f"{os.environ.get('HOST') or '127.0.0.1'}:{os.environ.get('PORT') or '8080'}"

# A process has one connection to NATS and one index. The autoscaler adds processes.
workers = 1
# Threads, because requests wait for NATS, S3 and event streams, and compute next to nothing; each
# function says how many. gunicorn's "gthread", with JSON errors for requests that it can't parse.
worker_class = "functions.shared.api.gunicorn_worker.Worker"
logger_class = "functions.shared.api.gunicorn_log.Logger"

# The master kills no worker whose heartbeat is late: on a busy machine that of a healthy one may
# be, and a worker that drains sends none. Probes watch the workers instead.
timeout = 0

# Longer than the proxies in front keep idle connections (Caddy 60 s, as configured; Knative's
# queue-proxy 90 s), so that a proxy never reuses a connection that is being closed.
keepalive = 120
# Grace period for in-flight requests after SIGTERM.
graceful_timeout = int(os.environ.get("GRACEFUL_TIMEOUT") or 30)

# Twice gunicorn's own: each proxy on the way adds some to those of the caller.
limit_request_fields = 200
# gunicorn's maximum: a query may hold part of a prompt, percent-encoded.
limit_request_line = 8190

# Ignore what proxies say about the scheme: nothing depends on it, and gunicorn would refuse
# requests on which two proxies contradict each other.
forwarded_allow_ips = ""

# gunicorn would create the socket in the home directory, which is read-only in a container.
control_socket_disable = True
# The worker's heartbeat is a file: on a slow disk it would delay requests.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - memory, not a shared file
