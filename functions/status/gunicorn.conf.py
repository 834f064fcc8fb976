# ruff: noqa: N999 - the name that gunicorn gives such files
"""How gunicorn runs status."""

from functions.shared.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "functions.status.app:create_app()"
# Every open event stream holds a thread, and an idle thread costs next to nothing.
threads = 128
