"""Web pages of other origins: only those that the operator names, on every route and answer."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from pydantic import ValidationError
from werkzeug.test import TestResponse

from functions.shared.config import Settings
from functions.status.app import create_app as create_status
from functions.submit.app import create_app as create_submit
from tests.fakes import MemoryBus, MemoryStore

PAGE = "https://page.example"
OTHER = "https://other.example"
ROUTES = (
    ("submit", "POST", "/"),
    ("submit", "POST", "/v1/videos"),
    ("submit", "DELETE", "/v1/videos/v1"),
    ("submit", "POST", "/v1/videos/v1/cancel"),
    ("status", "GET", "/v1/videos"),
    ("status", "GET", "/v1/models"),
    ("status", "GET", "/v1/events"),
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


def _may_be_sent(preflight: TestResponse, method: str, headers: str) -> None:
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
    assert method in preflight.headers["Access-Control-Allow-Methods"].split(", ")
    assert preflight.headers["Access-Control-Allow-Headers"] == headers
    assert int(preflight.headers["Access-Control-Max-Age"]) > 0


@pytest.mark.parametrize(("function", "method", "path"), ROUTES)
def test_a_named_origin_may_use_every_route(function: str, method: str, path: str) -> None:
    """The browser asks first, and is told that the method and the headers may be sent.

    The answer itself, an error too, may be read with the headers that a client needs.
    """
    clients = _clients(f"{PAGE}, {OTHER}")
    asked = "authorization, content-type, idempotency-key, x-stainless-lang"
    # The gateway can't tell from the question whose route it is about.
    for client in clients.values():
        preflight = _send(
            client,
            "OPTIONS",
            path,
            Origin=PAGE,
            Access_Control_Request_Method=method,
            Access_Control_Request_Headers=asked,
        )
        _may_be_sent(preflight, method, asked)
    with _send(clients[function], method, path, Origin=PAGE) as answer:
        assert answer.headers.getlist("Access-Control-Allow-Origin") == [PAGE]
        exposed = answer.headers["Access-Control-Expose-Headers"].lower().split(", ")
    needed = {"x-request-id", "retry-after", "location", "openai-poll-after-ms", "etag"}
    assert needed | {"content-range"} <= set(exposed)
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origins", [PAGE, f"{PAGE},{OTHER}"])
def test_other_origins_are_told_nothing_and_caches_know(origins: str) -> None:
    """`Vary: Origin` stands on every answer, or a cache would give a page another's."""
    client = _clients(origins)["status"]
    for headers in ({}, {"Origin": "https://page.example.evil.example"}, {"Origin": "null"}):
        answer = _send(client, "GET", "/v1/models", **headers)
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Vary"] == "Origin"
    assert _send(client, "GET", "/v1/models", Origin=PAGE).headers["Vary"] == "Origin"


def test_everybody_may_be_let_in() -> None:
    """`*` is the same answer for all, so nothing varies."""
    client = _clients("*")["status"]
    for headers in ({}, {"Origin": OTHER}):
        answer = _send(client, "GET", "/v1/models", **headers)
        assert answer.headers.getlist("Access-Control-Allow-Origin") == ["*"]
        assert "Vary" not in answer.headers


def test_without_the_setting_no_page_may_read_anything() -> None:
    """The default: only pages of the gateway's own origin."""
    answer = _send(_clients(None)["status"], "GET", "/v1/models", Origin=PAGE)
    assert not any(name.startswith("Access-Control") for name, _ in answer.headers)


@pytest.mark.parametrize(
    "value", ["page.example", "https://page.example/", "https://*.example", "*,https://a", ""]
)
def test_what_is_no_list_of_origins_stops_the_start(value: str) -> None:
    """A pattern or a path would match nothing, or too much."""
    with pytest.raises(ValidationError, match="cors_origins"):
        Settings(cors_origins=value)
