# ruff: noqa: N999 - the name that gunicorn gives such files
"""How gunicorn runs status."""

from functions.shared.api.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "functions.status.app:create_app()"
# An event stream holds a thread for as long as it is open; see MAX_FEEDS in `app.py`.
threads = 128
