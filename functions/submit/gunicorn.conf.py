# ruff: noqa: N999 - the name that gunicorn gives such files
"""How gunicorn runs submit."""

from functions.shared.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "functions.submit.app:create_app()"
