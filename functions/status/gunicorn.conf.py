# ruff: noqa: N999 - the name that gunicorn gives such files
"""Settings of gunicorn for `status`."""

from functions.shared.api.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "functions.status.app:create_app()"
# Each open event stream holds a thread; see MAX_FEEDS in `app.py`.
threads = 128
