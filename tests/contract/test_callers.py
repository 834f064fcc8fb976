"""Pages of other origins change nothing, and read nothing by DNS rebinding."""

from __future__ import annotations

from typing import Any

import pytest

from functions.shared.config import Settings
from local.processes import LOCAL_NAMES
from tests.contract.api import Api, error_of, make_api

# What a page can send without a preflight: the Fetch standard's CORS-safelisted content types.
FORM: dict[str, Any] = {
    "data": "prompt=x",
    "content_type": "application/x-www-form-urlencoded",
}
HOST = "kinora.example"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://other.kinora.example", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://{HOST}:8080"},
        {"Origin": f"http://{HOST}.evil.example"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/videos"),
        ("POST", "/"),
        ("POST", "/v1/videos/v/remix"),
        ("POST", "/v1/videos/v/cancel"),
        ("DELETE", "/v1/videos/v"),
    ],
)
def test_a_page_of_another_origin_changes_nothing(
    api: Api, method: str, path: str, headers: dict[str, str]
) -> None:
    """403, which names the setting that would allow it."""
    response = api.submit.open(path, method=method, headers={"Host": HOST} | headers, **FORM)
    assert response.status_code == 403
    error = error_of(response)
    assert error["code"] == "cross_origin_refused"
    assert "CORS_ORIGINS" in error["message"]
    assert api.is_empty()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": f"https://{HOST}", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://page.example", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": f"http://{HOST}"},
        {"Origin": "http://front.example", "X-Forwarded-Host": "front.example"},
    ],
)
def test_kinoras_own_page_and_programs_may_write(api: Api, headers: dict[str, str]) -> None:
    """Also behind a proxy with another name."""
    assert (
        api.submit.post("/v1/videos", headers={"Host": HOST} | headers, **FORM).status_code == 200
    )


@pytest.mark.parametrize("origins", ["https://a.example, https://page.example", "*"])
def test_a_page_of_an_allowed_origin_may_write(origins: str) -> None:
    """`CORS_ORIGINS` names it."""
    api = make_api(Settings(cors_origins=origins))
    headers = {"Origin": "https://page.example", "Sec-Fetch-Site": "cross-site"}
    assert api.submit.post("/v1/videos", headers=headers, **FORM).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/videos", "/v1/videos/v", "/openapi.json", "/readyz", "/nope"]
)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8080"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost", "X-Forwarded-Host": "evil.example"},
    ],
)
def test_a_name_that_is_not_the_servers_reads_nothing(path: str, headers: dict[str, str]) -> None:
    """421, which says how to add a name."""
    api = make_api(Settings(allowed_hosts=",".join(LOCAL_NAMES)))
    response = api.status.get(path, headers=headers)
    assert response.status_code == 421
    error = error_of(response)
    assert error["code"] == "unknown_host"
    assert "ALLOWED_HOSTS" in error["message"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "kinora.lan"]
)
def test_the_servers_own_names_are_answered(host: str) -> None:
    """With any port, and a name that was added."""
    api = make_api(Settings(allowed_hosts=",".join([*LOCAL_NAMES, "kinora.lan"])))
    headers = {"Host": host, "X-Forwarded-Host": host}
    assert api.status.get("/v1/videos", headers=headers).status_code == 200
