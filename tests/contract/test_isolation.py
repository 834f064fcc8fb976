"""No account sees or changes anything of another, on any documented route."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse
from werkzeug.wrappers import Response

from functions.shared.api.http import OPERATOR_ROUTES
from functions.shared.api.openapi import document
from functions.shared.config import Settings
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.video.profiles import load_profile
from tests.accounts import write_accounts
from tests.contract.api import BINARY, Api, complete, make_api, preview
from tests.unit.events import put_request

METHODS = ("get", "head", "post", "put", "patch", "delete")
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, item in document(load_profile("demo"))["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}
DONE, WAITING, RUNNING = "alices-done", "alices-waiting", "alices-running"
# What only alice may see.
ALICE_ACCOUNT = "alice"
SECRETS = (ALICE_ACCOUNT, "her secret prompt", "her secret tag", "her user")
ALICE = {"Authorization": "Bearer key-alice"}
BOB = {"Authorization": "Bearer key-bob"}
Call = Callable[..., TestResponse]


@pytest.fixture
def api(tmp_path: Path) -> Api:
    """Two accounts; alice has a completed video, two queued ones, and one with a preview."""
    accounts = write_accounts(tmp_path / "accounts", {"key-alice": "alice", "key-bob": "bob"})
    api = make_api(Settings(accounts_file=accounts, http_deadline_seconds=0.2))
    complete(api, DONE, "alice")
    preview(api, RUNNING, "alice")
    data = {
        "prompt": "her secret prompt",
        "metadata": {"tag": "her secret tag"},
        "user": "her user",
    }
    put_request(api.bus, VideoKey("alice", WAITING), **data)
    api.submit.post("/v1/videos", json=data, headers={**ALICE, "Idempotency-Key": "k"})
    return api


def _data_of_alice(api: Api) -> object:
    """Her files, and the last message of each of her subjects."""
    subjects = [
        (stream, subject, api.bus.get_last_message(stream, subject, leader=True))
        for stream, pattern in (
            (REQUESTS, "kinora.requests.alice.*"),
            (VIDEOS, "kinora.videos.alice.*.*"),
        )
        for subject in api.bus.list_subjects(stream, pattern)
    ]
    files = {name: file for name, file in api.store.files.items() if name.startswith("alice/")}
    return subjects, files


def _caller(api: Api, operation: str, **common: Any) -> Call:
    """Returns a function that sends requests to an operation."""
    method, path, _ = OPERATIONS[operation]
    (client, *_) = [client for client in (api.submit, api.status) if _serves(client, method, path)]

    def call(video_id: str = "", **options: Any) -> TestResponse:
        headers = {"x-request-id": "r", **common.get("headers", {}), **options.pop("headers", {})}
        target = path.replace("{video_id}", video_id) + options.pop("query", "")
        return client.open(target, method=method, headers=headers, **options)

    return call


def _serves(client: FlaskClient, method: str, path: str) -> bool:
    return any(
        rule.rule.replace("<path:", "<") == path.replace("{", "<").replace("}", ">")
        and method in (rule.methods or ())
        for rule in client.application.url_map.iter_rules()
    )


def _not_found(call: Call, **options: Any) -> None:
    """The response about her videos is the one about a video that does not exist."""
    absent = call("absent", **options)
    assert absent.status_code == 404
    for video_id in (DONE, WAITING, RUNNING):
        answer = call(video_id, **options)
        assert answer.status_code == 404
        assert (answer.data, dict(answer.headers)) == (absent.data, dict(absent.headers))


def _not_found_content(call: Call) -> None:
    _not_found(call)
    _not_found(call, query="?variant=preview")


def _lists(call: Call) -> None:
    for query in ("", "?order=asc&limit=100", "?status=completed", "?q=secret", "?metadata[tag]=x"):
        page = call(query=query).get_json()
        assert (page["data"], page["first_id"], page["has_more"]) == ([], None, False)
    after, absent = call(query=f"?after={DONE}"), call(query="?after=absent")
    assert after.status_code == absent.status_code == 400
    assert after.data == absent.data


def _uses_nothing(call: Call) -> None:
    for query in ("", "?format=csv"):
        assert ALICE_ACCOUNT not in call(query=query).text
    assert call().get_json()["data"] == []
    # Nor can bob ask for another's.
    assert call(query=f"?account={ALICE_ACCOUNT}").status_code == 400


def _creates(call: Call) -> None:
    """An idempotency key that alice used is a new one for bob."""
    answer = call(json={"prompt": "his own"}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 200
    assert answer.get_json()["prompt"] == "his own"


def _publishes(call: Call) -> None:
    """An event's subject names bob's own video, even if alice has one with the same id."""
    for video_id in (DONE, WAITING):
        answer = call(json={"prompt": "x"}, headers={**BINARY, "ce-subject": video_id})
        assert answer.status_code == 202


def _streams(api: Api, call: Call) -> None:
    """From the start of the stream, even if bob asks for her video."""
    put_request(api.bus, VideoKey("bob", "own"), prompt="bob's own")
    with call(headers={"Last-Event-ID": "0-0"}) as feed:
        received = list(_events_until(feed, "own"))
    assert [event["account"] for event in received] == ["bob"]
    assert call(query=f"?video_id={DONE}").status_code == 404
    put_request(api.bus, VideoKey("bob", DONE), prompt="bob's own")
    with call(headers={"Last-Event-ID": "0-0"}, query=f"?video_id={DONE}") as feed:
        received = list(_events_until(feed, DONE))
    assert [event["account"] for event in received] == ["bob"]


def _events_until(feed: Response, subject: str) -> Iterator[dict[str, Any]]:
    for part in feed.response:
        text = part.decode() if isinstance(part, bytes) else part
        for line in text.splitlines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                yield event
                if event["subject"] == subject:
                    return


def _reveals_nothing(call: Call) -> None:
    answer = call()
    assert answer.status_code in {200, 503}
    assert not [secret for secret in SECRETS if secret in answer.text]


# What each operation is called with as bob. An operation that is missing here fails its test.
CASES: dict[str, Callable[[Api, Call], None]] = {
    "getVideo": lambda _, call: _not_found(call),
    "getVideoContent": lambda _, call: _not_found_content(call),
    "headVideoContent": lambda _, call: _not_found_content(call),
    "deleteVideo": lambda _, call: _not_found(call),
    "cancelVideo": lambda _, call: _not_found(call),
    "remixVideo": lambda _, call: _not_found(call, json={"prompt": "x"}),
    "listVideos": lambda _, call: _lists(call),
    "createVideo": lambda _, call: _creates(call),
    "submitEvent": lambda _, call: _publishes(call),
    "streamEvents": _streams,
    "listModels": lambda _, call: _reveals_nothing(call),
    "getModel": lambda _, call: _not_found(call),
    "getUsage": lambda _, call: _uses_nothing(call),
    "getOpenApiDocument": lambda _, call: _reveals_nothing(call),
    "getHealth": lambda _, call: _reveals_nothing(call),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_another_accounts_videos_do_not_exist(api: Api, operation: str) -> None:
    """Bob sees nothing of alice, and nothing of hers changes, whatever he requests."""
    before = _data_of_alice(api)
    CASES[operation](api, _caller(api, operation, headers=BOB))
    assert _data_of_alice(api) == before


@pytest.mark.parametrize("path", sorted(OPERATOR_ROUTES))
def test_routes_for_operators_reveal_nothing(api: Api, path: str) -> None:
    """They need no key, and the document leaves them out; the gateway does not route to them.

    Metrics name the accounts with videos in the queue, and nothing else of them.
    """
    named = {ALICE_ACCOUNT} if path == "/metrics" else set()
    for client in (api.submit, api.status):
        client.get(f"/v1/videos/{DONE}", headers=ALICE)
        answer = client.get(path)
        assert answer.status_code in {200, 503}
        assert {secret for secret in SECRETS if secret in answer.text} <= named


def test_the_owner_sees_what_others_do_not(api: Api) -> None:
    """Otherwise the other tests would prove nothing."""
    alice = {"headers": ALICE}
    content = _caller(api, "getVideoContent", **alice)
    assert content(DONE).data == b"0123456789"
    assert content(RUNNING, query="?variant=preview").data == b"picture"
    page = _caller(api, "listVideos", **alice)(query="?q=secret").get_json()
    assert WAITING in {video["id"] for video in page["data"]}
    with _caller(api, "streamEvents", **alice)(headers={"Last-Event-ID": "0-0"}) as feed:
        assert {event["account"] for event in _events_until(feed, WAITING)} == {"alice"}
    (day,) = _caller(api, "getUsage", **alice)().get_json()["data"]
    assert (day["account"], day["videos"]) == (ALICE_ACCOUNT, 1)
    assert _caller(api, "deleteVideo", **alice)(DONE).status_code == 200
    assert _data_of_alice(api)


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic key-bob", "key-bob"]
)
@pytest.mark.parametrize(
    "operation", [name for name, (_, _, about) in OPERATIONS.items() if "security" not in about]
)
def test_without_a_valid_key_everything_is_401(
    api: Api, operation: str, authorization: str | None
) -> None:
    """On every route that is not public; and nothing changes."""
    before = _data_of_alice(api), api.requests()
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = _caller(api, operation, headers={**BINARY, **headers})(DONE, json={"prompt": "x"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    if operation != "headVideoContent":
        assert answer.get_json()["error"]["type"] == "authentication_error"
    assert (_data_of_alice(api), api.requests()) == before
