# ruff: noqa: N999 - the name that gunicorn gives such files
"""How gunicorn runs the bare route: as it runs `submit`."""

from functions.shared.api.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "benchmarks.contestants.bare:create_app()"
