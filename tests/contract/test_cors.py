"""CORS: only the configured origins may use the API, on every route and response."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from pydantic import ValidationError
from werkzeug.test import TestResponse

from functions.shared.api.openapi.components import HEADERS
from functions.shared.config import Settings
from functions.status.app import create_app as create_status
from functions.submit.app import create_app as create_submit
from tests.fakes import MemoryBus, MemoryStore

# Response headers that pages may always read (the Fetch standard, section 2.2.2).
SAFELISTED = {"cache-control", "content-length"}
PAGE = "https://page.example"
OTHER = "https://other.example"
ROUTES = (
    ("submit", "POST", "/"),
    ("submit", "POST", "/v1/videos"),
    ("submit", "DELETE", "/v1/videos/v1"),
    ("submit", "POST", "/v1/videos/v1/cancel"),
    ("status", "GET", "/v1/videos"),
    ("status", "GET", "/v1/models"),
    ("status", "GET", "/v1/usage"),
    ("status", "GET", "/v1/events"),
    ("status", "GET", "/openapi.json"),
    # The gateway's /health.
    ("status", "GET", "/readyz"),
    ("status", "GET", "/v1/videos/v1"),
    ("status", "GET", "/v1/videos/v1/content"),
)


def _clients(origins: str | None) -> dict[str, FlaskClient]:
    settings = Settings(cors_origins=origins, http_deadline_seconds=0.2)
    bus, store = MemoryBus(), MemoryStore()
    return {
        "submit": create_submit(settings, bus, store).test_client(),
        "status": create_status(settings, bus, store).test_client(),
    }


def _send(client: FlaskClient, method: str, path: str, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return client.open(path, method=method, headers=named)


def _allows(preflight: TestResponse, method: str, headers: str) -> None:
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
    assert method in preflight.headers["Access-Control-Allow-Methods"].split(", ")
    assert preflight.headers["Access-Control-Allow-Headers"] == headers
    assert int(preflight.headers["Access-Control-Max-Age"]) > 0


@pytest.mark.parametrize(("function", "method", "path"), ROUTES)
def test_a_named_origin_may_use_every_route(function: str, method: str, path: str) -> None:
    """The preflight allows the method and the headers.

    The page may read the response, even an error, with all documented headers.
    """
    clients = _clients(f"{PAGE}, {OTHER}")
    requested = "authorization, content-type, idempotency-key, x-stainless-lang"
    # The gateway may send a preflight to either function.
    for client in clients.values():
        preflight = _send(
            client,
            "OPTIONS",
            path,
            Origin=PAGE,
            Access_Control_Request_Method=method,
            Access_Control_Request_Headers=requested,
        )
        _allows(preflight, method, requested)
    with _send(clients[function], method, path, Origin=PAGE) as answer:
        assert answer.headers.getlist("Access-Control-Allow-Origin") == [PAGE]
        exposed = answer.headers["Access-Control-Expose-Headers"].lower().split(", ")
    assert set(exposed) == {name.lower() for name in HEADERS} - SAFELISTED
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origins", [PAGE, f"{PAGE},{OTHER}"])
def test_other_origins_may_read_nothing_and_caches_vary(origins: str) -> None:
    """Every response has `Vary: Origin`, or a cache would mix up the origins."""
    client = _clients(origins)["status"]
    for headers in ({}, {"Origin": "https://page.example.evil.example"}, {"Origin": "null"}):
        answer = _send(client, "GET", "/v1/models", **headers)
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Vary"] == "Origin"
    assert _send(client, "GET", "/v1/models", Origin=PAGE).headers["Vary"] == "Origin"


def test_any_origin_may_be_allowed() -> None:
    """With `*`, the response is the same for all origins, so nothing varies."""
    client = _clients("*")["status"]
    for headers in ({}, {"Origin": OTHER}):
        answer = _send(client, "GET", "/v1/models", **headers)
        assert answer.headers.getlist("Access-Control-Allow-Origin") == ["*"]
        assert "Vary" not in answer.headers


def test_without_the_setting_no_other_origin_may_read_anything() -> None:
    """The default: only pages of the gateway's own origin may use the API."""
    answer = _send(_clients(None)["status"], "GET", "/v1/models", Origin=PAGE)
    assert not any(name.startswith("Access-Control") for name, _ in answer.headers)


@pytest.mark.parametrize(
    "value", ["page.example", "https://page.example/", "https://*.example", "*,https://a", ""]
)
def test_an_invalid_list_of_origins_stops_the_start(value: str) -> None:
    """A wildcard or a path would match nothing, or too much."""
    with pytest.raises(ValidationError, match="cors_origins"):
        Settings(cors_origins=value)
