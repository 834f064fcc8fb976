"""The HTTP API as the functions share it: Flask app, accounts, bodies, OpenAPI, gunicorn."""
