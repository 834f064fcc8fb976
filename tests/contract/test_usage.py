"""`GET /v1/usage`: what an account used, by day."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from functions.shared.config import Settings
from functions.shared.timestamps import NANOSECONDS
from functions.status.app import create_app as create_status
from tests.accounts import write_accounts
from tests.contract.api import Api, complete, error_of, make_api

OPERATOR = {"Authorization": "Bearer key-ops"}
ACME = {"Authorization": "Bearer key-acme"}


@pytest.fixture
def api(tmp_path: Path) -> Api:
    """Two accounts with a completed video each, and an operator's."""
    accounts = write_accounts(
        tmp_path / "accounts",
        {"key-acme": "acme", "key-other": "other", "key-ops": "ops"},
        roles={"key-ops": "operator"},
    )
    api = make_api(Settings(accounts_file=accounts, http_deadline_seconds=0.2))
    for account in ("acme", "other"):
        complete(api, "v1", account)
    return api


def _day(api: Api, account: str) -> dict[str, object]:
    today = datetime.fromtimestamp(api.bus.clock // NANOSECONDS, UTC).date().isoformat()
    return {
        "object": "usage",
        "day": today,
        "account": account,
        "videos": 1,
        "gpu_seconds": 1.0,
        "bytes": len(b"0123456789"),
    }


def test_an_account_sees_its_own(api: Api) -> None:
    """By day, in UTC."""
    answer = api.status.get("/v1/usage", headers=ACME)
    assert answer.get_json() == {"object": "list", "data": [_day(api, "acme")]}


def test_an_operator_sees_all_accounts(api: Api) -> None:
    """And, of videos, no more than its own account's."""
    answer = api.status.get("/v1/usage", headers=OPERATOR)
    assert answer.get_json()["data"] == [_day(api, "acme"), _day(api, "other")]
    assert api.status.get("/v1/videos", headers=OPERATOR).get_json()["data"] == []
    assert api.status.get("/v1/videos/v1", headers=OPERATOR).status_code == 404


def test_deleting_a_video_changes_no_usage(api: Api) -> None:
    """Nor does deleting it twice."""
    before = api.status.get("/v1/usage", headers=ACME).data
    for _ in range(2):
        assert api.submit.delete("/v1/videos/v1", headers=ACME).status_code in (200, 404)
    assert api.status.get("/v1/usage", headers=ACME).data == before


@pytest.mark.parametrize("deleted", [False, True])
def test_a_replay_counts_the_same(api: Api, tmp_path: Path, deleted: bool) -> None:
    """Of a deleted video, only the tombstone is left, which has what it used."""
    if deleted:
        assert api.submit.delete("/v1/videos/v1", headers=ACME).status_code == 200
    settings = Settings(accounts_file=str(tmp_path / "accounts"))
    replica = create_status(settings, api.bus, api.store).test_client()
    for headers in (ACME, OPERATOR):
        expected = api.status.get("/v1/usage", headers=headers).data
        assert replica.get("/v1/usage", headers=headers).data == expected


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", None, "json"),
        ("", "*/*", "json"),
        ("", "text/csv", "csv"),
        ("", "text/csv, application/json;q=0.5", "csv"),
        ("", "text/html", "json"),
        ("?format=csv", None, "csv"),
        ("?format=csv", "application/json", "csv"),
        ("?format=json", "text/csv", "json"),
    ],
)
def test_the_format_is_that_of_the_query_or_of_accept(
    api: Api, query: str, accept: str | None, kind: str
) -> None:
    """The query wins: what imports a URL can't send headers, and sends some of its own."""
    headers = {**ACME, **({} if accept is None else {"Accept": accept})}
    answer = api.status.get(f"/v1/usage{query}", headers=headers)
    assert answer.mimetype == {"json": "application/json", "csv": "text/csv"}[kind]
    assert "Accept" in answer.headers["Vary"]


def test_csv_has_the_same_values(api: Api) -> None:
    """With a line of names (RFC 4180)."""
    answer = api.status.get("/v1/usage?format=csv", headers=OPERATOR)
    assert answer.text.startswith("day,account,videos,gpu_seconds,bytes\r\n")
    rows = [*csv.DictReader(io.StringIO(answer.text))]
    expected = [_day(api, "acme"), _day(api, "other")]
    for day in expected:
        del day["object"]
    assert rows == [{name: str(value) for name, value in day.items()} for day in expected]


def test_an_unknown_format_is_refused(api: Api) -> None:
    """With those that exist."""
    answer = api.status.get("/v1/usage?format=xml", headers=ACME)
    assert answer.status_code == 400
    assert "'json' or 'csv'" in error_of(answer)["message"]


def test_without_keys_there_is_one_account() -> None:
    """Nobody is an operator: events from NATS may name other accounts."""
    api = make_api(Settings())
    complete(api, "v1")
    complete(api, "v2", "elsewhere")
    data = api.status.get("/v1/usage").get_json()["data"]
    assert [day["account"] for day in data] == ["default"]
