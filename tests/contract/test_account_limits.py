"""The limits of single accounts, which the file of accounts may set."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from functions.shared.accounts import file as file_module
from functions.shared.api.http import MAX_RETRY_AFTER
from functions.shared.config import Settings
from tests.accounts import write_accounts
from tests.contract.api import Api, make_api
from tests.patience import wait_until

BODY = {"prompt": "a red circle"}
SLOW, OTHER = ({"Authorization": f"Bearer key-{name}"} for name in ("slow", "other"))
KEYS = {"key-slow": "slow", "key-other": "other"}


def _api(folder: Path, limits: str, **settings: float) -> Api:
    path = write_accounts(folder / "accounts", KEYS, limits={"slow": limits})
    return make_api(Settings(accounts_file=path, **settings))  # type: ignore[arg-type]  # numbers


def _code(response: TestResponse) -> str:
    return str(response.get_json()["error"]["code"])


def _assert_limited(response: TestResponse) -> None:
    assert (response.status_code, _code(response)) == (429, "rate_limit_exceeded")
    assert 1 <= int(response.headers["Retry-After"]) <= MAX_RETRY_AFTER


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/videos"),
        ("GET", "/v1/videos/v1"),
        ("GET", "/v1/videos/v1/content"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/any"),
        ("GET", "/v1/events"),
        ("GET", "/v1/videos/characters/any"),
        ("POST", "/"),
        ("POST", "/v1/videos"),
        ("POST", "/v1/videos/v1/cancel"),
        ("POST", "/v1/videos/v1/remix"),
        ("POST", "/v1/videos/edits"),
        ("DELETE", "/v1/videos/v1"),
    ],
)
def test_every_route_refuses_an_account_that_sends_too_much(
    tmp_path: Path, method: str, path: str
) -> None:
    """With 429 and `Retry-After`, and each request counts once; other accounts go on."""
    api = _api(tmp_path, "requests_per_second = 0.75")
    function = api.status if method == "GET" else api.submit
    # 1.5 at once, so that a request which counts twice is refused.
    assert function.open(path, method=method, json=BODY, headers=SLOW).status_code != 429
    refused = function.open(path, method=method, json=BODY, headers=SLOW)
    _assert_limited(refused)
    assert "0.75 requests a second" in refused.get_json()["error"]["message"]
    assert function.open(path, method=method, json=BODY, headers=OTHER).status_code != 429


def test_without_keys_the_limit_is_of_all_callers(tmp_path: Path) -> None:
    """They share the account `default`. Probes and the document are not counted."""
    assert tmp_path.exists()
    api = make_api(Settings(account_requests_per_second=1))
    answers = [api.status.get("/v1/models") for _ in range(4)]
    assert [answer.status_code for answer in answers[:2]] == [200, 200]
    _assert_limited(answers[-1])
    for path in ("/health", "/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert api.status.get(path).status_code != 429


def test_a_refused_key_counts_for_no_account(tmp_path: Path) -> None:
    """Whoever guesses keys takes nothing from their holders."""
    api = _api(tmp_path, "requests_per_second = 0.5")
    for _ in range(5):
        wrong = api.status.get("/v1/models", headers={"Authorization": "Bearer guess"})
        assert wrong.status_code == 401
    assert api.status.get("/v1/models", headers=SLOW).status_code == 200


def test_an_account_may_have_its_own_part_of_the_queue(tmp_path: Path) -> None:
    """Smaller or larger than that of the others, ACCOUNT_QUEUE_LIMIT."""
    api = _api(tmp_path, "max_queued = 1", account_queue_limit=2)
    assert _queued(api.submit, SLOW, 3) == [200, 429, 429]
    assert _queued(api.submit, OTHER, 3) == [200, 200, 429]
    larger = _api(tmp_path, "max_queued = 3", account_queue_limit=2)
    assert _queued(larger.submit, SLOW, 4) == [200, 200, 200, 429]


def _queued(submit: FlaskClient, headers: dict[str, str], number: int) -> list[int]:
    answers = [submit.post("/v1/videos", json=BODY, headers=headers) for _ in range(number)]
    assert {_code(answer) for answer in answers if answer.status_code == 429} == {
        "account_queue_full"
    }
    return [answer.status_code for answer in answers]


def test_limits_follow_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a restart."""
    monkeypatch.setattr(file_module, "POLL_SECONDS", 0.01)
    api = _api(tmp_path, "max_queued = 1")
    assert _queued(api.submit, SLOW, 2) == [200, 429]
    write_accounts(tmp_path / "accounts", KEYS, limits={"slow": "max_queued = 5"})

    def accepted() -> bool:
        return api.submit.post("/v1/videos", json=BODY, headers=SLOW).status_code == 200

    wait_until(accepted, seconds=5, what="the new limit applies")
