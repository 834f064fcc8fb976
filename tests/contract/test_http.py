"""What all routes have in common: errors, request ids, outages, metrics."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from functions.shared.api.http import MAX_RETRY_AFTER
from functions.shared.config import Settings
from functions.shared.errors import (
    InvalidRequest,
    KinoraError,
    OutcomeUnknown,
    QueueFull,
    SequenceConflict,
    Unavailable,
)
from tests.accounts import write_accounts
from tests.contract.api import Api, complete, error_of, make_api
from tests.patience import wait_until


def test_without_nats_a_caller_gets_503_in_time(api: Api) -> None:
    """An unknown outcome is never reported as a success or a failure."""
    api.bus.unavailable = True
    for response in (
        api.create(),
        api.submit.delete("/v1/videos/v"),
        api.submit.post("/v1/videos/v/cancel"),
        api.status.get("/v1/videos/v"),
        api.status.get("/v1/videos"),
        api.status.get("/v1/videos/v/content"),
        api.status.get("/readyz"),
        api.submit.get("/readyz"),
    ):
        assert response.status_code == 503
        assert error_of(response)["message"]
        assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize("function", ["submit", "status"])
def test_probes_without_nats(api: Api, function: str) -> None:
    """A function that can answer 503 stays ready; `/health` says that it can do nothing else.

    A replica that has never reached NATS is not ready, so that a rollout with a wrong password does
    not replace one that works.
    """
    client = getattr(api, function)
    api.bus.unavailable = True
    assert client.get("/readyz").status_code == 503
    api.bus.unavailable = False
    assert client.get("/readyz").status_code == 200
    assert client.get("/health").get_json() == {"status": "available"}
    api.bus.unavailable = True
    assert client.get("/readyz").status_code == 200
    assert client.get("/healthz").status_code == 200
    health = client.get("/health")
    assert health.status_code == 503
    assert "NATS" in error_of(health)["message"]


def test_health_of_submit_tells_that_nothing_is_stored(api: Api) -> None:
    """It stays ready: without a request, nobody would be told."""
    assert api.submit.get("/readyz").status_code == 200
    api.bus.stopped_writing = True
    assert api.submit.get("/readyz").status_code == 200
    health = api.submit.get("/health")
    assert health.status_code == 503
    assert "stopped storing" in error_of(health)["message"]


def test_health_of_submit_tells_that_the_store_refuses_writes(api: Api) -> None:
    """New videos are accepted, and wait."""
    api.store.unavailable = True
    assert api.submit.get("/readyz").status_code == 200
    health = api.submit.get("/health")
    assert health.status_code == 503
    assert "object store" in error_of(health)["message"]
    assert api.submit.post("/v1/videos", json={"prompt": "a red circle"}).status_code == 200


def test_a_list_that_is_being_read_again_is_503(api: Api) -> None:
    """Not a part of it: a caller would take the rest for lost."""
    complete(api)
    assert len(api.status.get("/v1/videos").get_json()["data"]) == 1
    api.bus.catches_up = False
    api.bus.lose_all_data()
    response = wait_until(
        lambda: next((r for r in [api.status.get("/v1/videos")] if r.status_code != 200), None),
        seconds=10,
        what="the list is read again",
    )
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0


def test_models_lists_the_deployed_model(api: Api) -> None:
    """Its limits and defaults, and that it is the demo model."""
    (model,) = api.status.get("/v1/models").get_json()["data"]
    assert (model["id"], model["object"], model["demo"]) == ("mochi-1-demo", "model", True)
    assert model["default_size"] in model["sizes"]
    assert model["num_frames"]["min"] == 7


def test_a_model_is_found_by_its_id(api: Api) -> None:
    """As it is in the list; any other id is unknown."""
    (model,) = api.status.get("/v1/models").get_json()["data"]
    assert api.status.get(f"/v1/models/{model['id']}").get_json() == model
    for unknown in ("sora-2", "genmo/mochi-1-preview", "MOCHI-1-DEMO"):
        response = api.status.get(f"/v1/models/{unknown}")
        assert response.status_code == 404
        assert error_of(response)["code"] == "model_not_found"


def test_an_invalid_file_of_accounts_stops_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line of the log names the place, and not the content, which may be a key."""
    path = tmp_path / "accounts"
    path.write_text('[[accounts.acme.keys]]\nname = "laptop"\nsha256 = "secret-key-in-clear"\n')
    with pytest.raises(SystemExit):
        make_api(Settings(accounts_file=str(path)))
    (line,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith(f"ACCOUNTS_FILE can't be used: {path}: accounts.acme.keys[0].sha256: ")
    assert "secret" not in line


def test_unknown_routes_and_methods_are_json_errors(api: Api) -> None:
    """Never HTML."""
    assert error_of(api.status.get("/nope"))["code"] == "not_found"
    wrong = api.submit.put("/v1/videos")
    assert wrong.status_code == 405
    assert "POST" in wrong.headers["Allow"]
    error_of(wrong)


def test_a_request_id_is_kept_or_created(api: Api) -> None:
    """The caller's own id is returned if it is safe to log."""
    kept = api.status.get("/healthz", headers={"x-request-id": "mine-1"})
    assert kept.headers["x-request-id"] == "mine-1"
    created = api.status.get("/healthz", headers={"x-request-id": "a b\t"})
    assert created.headers["x-request-id"].startswith("req_")


def test_metrics_count_requests_by_route(api: Api) -> None:
    """By route rather than path, so that ids do not become labels."""
    api.status.get("/v1/videos/v-secret")
    text = api.status.get("/metrics").get_data(as_text=True)
    assert 'route="/v1/videos/<video_id>"' in text
    assert "v-secret" not in text


def test_an_unexpected_error_reveals_no_details(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 in JSON; the details are in the log."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(api.bus, "get_last_message", broken)
    response = api.status.get("/v1/videos/v1")
    assert response.status_code == 500
    assert "secret" not in error_of(response)["message"]


@pytest.mark.parametrize("error", [QueueFull, Unavailable, OutcomeUnknown, SequenceConflict])
def test_errors_worth_a_retry_have_a_retry_after(error: type[KinoraError]) -> None:
    """Every 429 and 503 has a Retry-After that openai-python respects."""
    after = error().retry_after
    assert after is not None
    assert 0 < after <= MAX_RETRY_AFTER
    assert error(retry_after=7).retry_after == 7


def test_an_error_names_the_parameter_at_fault() -> None:
    """In `param`."""
    assert InvalidRequest("x", param="y").body()["error"]["param"] == "y"


class _UnfinishedBody(io.BytesIO):
    """As gunicorn's worker passes bodies, but its sender will never complete this one."""

    closes_connection = False

    def read(self, size: int | None = -1, /) -> bytes:
        raise AssertionError(f"{size} bytes of the body were read")

    def close_connection(self) -> None:
        self.closes_connection = True


@pytest.mark.parametrize("path", ["/v1/videos", "/v1/videos/v", "/readyz", "/nope"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_the_body_of_a_read_is_ignored(api: Api, method: str, path: str) -> None:
    """It means nothing, and waiting for it would let anybody hold a thread."""
    body = _UnfinishedBody()
    response = api.status.open(
        path, method=method, environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": "10"}
    )
    assert response.status_code == api.status.open(path, method=method).status_code
    assert body.closes_connection


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
@pytest.mark.parametrize("path", ["/", "/v1/videos", "/v1/videos/v/cancel", "/nope"])
def test_without_a_key_no_body_is_read(tmp_path: Path, path: str, headers: dict[str, str]) -> None:
    """401, or 404 where there is nothing; then the connection closes."""
    api = make_api(Settings(accounts_file=write_accounts(tmp_path / "accounts", {"key": "acme"})))
    body = _UnfinishedBody()
    response = api.submit.post(
        path, headers=headers, environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": "10"}
    )
    assert response.status_code == (404 if path == "/nope" else 401)
    assert body.closes_connection
