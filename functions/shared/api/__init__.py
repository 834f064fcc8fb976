"""The HTTP API that the functions have in common: routes, answers, errors, OpenAPI, gunicorn."""
