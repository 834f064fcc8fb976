# ruff: noqa: N999 - gunicorn's name for its configuration file
"""Runs the Flask route with the same gunicorn settings as `submit`."""

from functions.shared.api.gunicorn import *  # noqa: F403 - gunicorn reads this module's names

wsgi_app = "benchmarks.alternatives.flask_jetstream:create_app()"
