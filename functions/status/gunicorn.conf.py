# ruff: noqa: N999 - the name that gunicorn gives such files
"""Settings of gunicorn for `status`."""

from functions.shared.api.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "functions.status.app:create_app()"
# Each open event stream and download holds one: MAX_FEEDS and MAX_DOWNLOADS in `app.py`, and 32 for
# all other requests.
threads = 192
