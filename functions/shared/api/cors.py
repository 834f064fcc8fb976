"""CORS: which web pages of other origins may use the API (the Fetch standard, section 3.3)."""

from __future__ import annotations

from typing import Final

from flask import Flask, Response
from flask_cors import CORS

# Response headers that pages may read besides the CORS-safelisted ones.
EXPOSED_HEADERS: Final = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "openai-poll-after-ms",
    "Retry-After",
    "WWW-Authenticate",
    "x-request-id",
)
# Browsers cap this at two hours. Ten minutes shows a changed setting sooner.
PREFLIGHT_SECONDS: Final = 600


def allow_origins(app: Flask, origins: str) -> None:
    """Let pages of `origins` (comma-separated, or `*`) use every route of `app`.

    Callers authenticate with an API key and never with a cookie, so `*` is safe.
    """
    allowed = [origin.strip() for origin in origins.split(",")]
    any_origin = allowed == ["*"]

    @app.after_request
    def vary(response: Response) -> Response:
        # On every response: a cache must not give a page the response to a request without Origin.
        if not any_origin:
            response.vary.add("Origin")
        return response

    CORS(
        app,
        origins=allowed,
        methods=["GET", "HEAD", "POST", "DELETE"],
        expose_headers=list(EXPOSED_HEADERS),
        max_age=PREFLIGHT_SECONDS,
        send_wildcard=any_origin,
        # For a request without an Origin, a list of origins would be sent as several headers.
        always_send=any_origin,
        vary_header=False,  # set on some responses only; see above
    )
