"""Which web pages may call: a browser sends requests for any page that its user opens."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from flask import Flask, request

from functions.shared.errors import CrossOrigin, UnknownHost

# They change nothing, and without CORS a page of another origin can't read the response.
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def refuse_cross_origin_writes(app: Flask, cors_origins: str | None) -> None:
    """Refuse requests that change something and come from a page of another origin.

    A form needs no preflight, so without API keys any page could make videos. The rules are those
    of Go's `net/http.CrossOriginProtection`: callers that are no browsers send neither header.

    Args:
        app: where the check runs, before the routes.
        cors_origins: the setting `CORS_ORIGINS`, whose origins may.
    """
    allowed = {origin.strip() for origin in (cors_origins or "").split(",")}

    @app.before_request
    def check() -> None:
        origin = request.headers.get("Origin")
        if request.method in _SAFE or "*" in allowed or origin in allowed:
            return
        site = request.headers.get("Sec-Fetch-Site")
        if site is None:
            # Browsers omit it from requests to plain HTTP, except on the same machine.
            same = origin is None or urlsplit(origin).netloc.lower() in _hosts()
        else:
            same = site in ("same-origin", "none")
        if not same:
            page = "another site" if origin in (None, "null") else origin
            raise CrossOrigin(
                f"A page of {page} may not change anything here. Add its origin to CORS_ORIGINS to "
                "let it use the API."
            )


def refuse_unknown_hosts(app: Flask, allowed_hosts: str | None) -> None:
    """Refuse requests to names that are not this server's, so that DNS rebinding gains nothing.

    A page whose own name is made to resolve to this machine would be of the same origin.

    Args:
        app: where the check runs, before the routes.
        allowed_hosts: the setting `ALLOWED_HOSTS`; None allows every name.
    """
    if allowed_hosts is None:
        return
    allowed = {host.strip().lower() for host in allowed_hosts.split(",")}

    @app.before_request
    def check() -> None:
        for host in _hosts():
            if urlsplit(f"//{host}").hostname not in allowed:
                raise UnknownHost(
                    f"This server does not answer as {host}. Use one of: {allowed_hosts}; or add "
                    "the name to ALLOWED_HOSTS and start again."
                )


def _hosts() -> set[str]:
    """The names by which the caller and the gateway addressed this server, with their ports."""
    named = (request.headers.get("X-Forwarded-Host"), request.host)
    return {host.strip().lower() for host in named if host}
