"""Which web pages of other origins may read the API's answers (the Fetch standard, section 3.3)."""

from __future__ import annotations

from typing import Final

from flask import Flask, Response
from flask_cors import CORS

# What a page may read beyond the headers that the standard always lets through.
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
# Browsers ask again after two hours at the latest; a changed setting should show sooner.
PREFLIGHT_SECONDS: Final = 600


def allow_origins(app: Flask, origins: str) -> None:
    """Let pages of `origins` (comma separated, or `*`) use every route of `app`.

    Callers are known by their API key and never by a cookie, so `*` gives nothing away.
    """
    allowed = [origin.strip() for origin in origins.split(",")]
    everybody = allowed == ["*"]

    @app.after_request
    def vary(response: Response) -> Response:
        # On every answer: a cache must not give a page the answer that had no origin.
        if not everybody:
            response.vary.add("Origin")
        return response

    CORS(
        app,
        origins=allowed,
        methods=["GET", "HEAD", "POST", "DELETE"],
        expose_headers=list(EXPOSED_HEADERS),
        max_age=PREFLIGHT_SECONDS,
        send_wildcard=everybody,
        # Without an Origin in the request, a list of origins would be sent as several headers.
        always_send=everybody,
        vary_header=False,  # it does so for some answers; see above
    )
