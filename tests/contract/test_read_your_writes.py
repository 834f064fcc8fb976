"""Whoever was told something sees it in the next read, also of a replica that lags behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functions.shared.subjects import VIDEOS
from functions.status import index_reads
from tests.contract.api import Api, complete


@pytest.fixture
def lagging(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """An API whose `status` believed a moment ago that it has everything, and gets nothing more."""
    monkeypatch.setattr(index_reads, "LIST_PATIENCE_SECONDS", 0.05)
    complete(api)
    assert api.status.get("/v1/videos/v1").get_json()["status"] == "completed"
    assert len(api.status.get("/v1/videos").get_json()["data"]) == 1
    api.bus.hold_followers_back()
    yield api
    api.bus.let_followers_go_on()


def test_a_created_video_is_read_at_once(lagging: Api) -> None:
    """The index does not have it, so NATS is asked."""
    video = lagging.create().get_json()
    read = lagging.status.get(f"/v1/videos/{video['id']}").get_json()
    assert read == {**video, "eta_seconds": read["eta_seconds"]}


def test_a_cancelled_video_is_read_as_cancelled(api: Api) -> None:
    """The index still has it as queued."""
    video = f"/v1/videos/{api.create().get_json()['id']}"
    assert api.status.get(video).get_json()["status"] == "queued"
    api.bus.hold_followers_back()
    api.status.get(video)
    assert api.submit.post(f"{video}/cancel").status_code == 200
    assert api.status.get(video).get_json()["error"]["code"] == "cancelled"


def test_a_deleted_video_is_not_found(lagging: Api) -> None:
    """The index still has it as completed."""
    lagging.status.get("/v1/videos/v1")
    assert lagging.submit.delete("/v1/videos/v1").status_code == 200
    assert lagging.status.get("/v1/videos/v1").status_code == 404


def test_a_list_without_a_created_video_is_not_sent(lagging: Api) -> None:
    """A list can't be read from NATS: callers are asked to try again, until it is complete."""
    video = lagging.create().get_json()
    response = lagging.status.get("/v1/videos")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    lagging.bus.let_followers_go_on()
    ids = [found["id"] for found in lagging.status.get("/v1/videos").get_json()["data"]]
    assert sorted(ids) == ["v1", video["id"]]


def test_a_list_without_a_deletion_is_not_sent(lagging: Api) -> None:
    """As of a creation."""
    lagging.status.get("/v1/videos/v1")
    assert lagging.submit.delete("/v1/videos/v1").status_code == 200
    assert lagging.status.get("/v1/videos").status_code == 503
    lagging.bus.let_followers_go_on()
    assert lagging.status.get("/v1/videos").get_json()["data"] == []


def test_an_idempotency_key_tells_nothing_that_reads_contradict(lagging: Api) -> None:
    """The repeated request is answered with the video as it is now."""
    key = {"Idempotency-Key": "k"}
    body = {"prompt": "a red circle"}
    lagging.bus.let_followers_go_on()
    name = lagging.submit.post("/v1/videos", json=body, headers=key).get_json()["id"]
    lagging.status.get(f"/v1/videos/{name}")
    lagging.bus.hold_followers_back()
    lagging.status.get(f"/v1/videos/{name}")
    lagging.submit.post(f"/v1/videos/{name}/cancel")
    told = lagging.submit.post("/v1/videos", json=body, headers=key).get_json()
    read = lagging.status.get(f"/v1/videos/{name}").get_json()
    assert told["status"] == read["status"] == "failed"


def test_a_read_of_the_index_says_what_a_read_of_nats_says(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Field by field and in the same order, for a video that waits and for one that has ended."""
    monkeypatch.setattr(index_reads, "READ_WINDOW_SECONDS", 0)
    complete(api)
    waiting = api.create(metadata={"eta_seconds": '"queue_position":null'}).get_json()["id"]
    for name in ("v1", waiting):
        from_index = api.status.get(f"/v1/videos/{name}")
        api.bus.hold_followers_back()
        # Anything that the index lacks makes it ask NATS.
        complete(api, f"other-{name}")
        from_nats = api.status.get(f"/v1/videos/{name}")
        api.bus.let_followers_go_on()
        assert from_index.headers["Content-Type"] == from_nats.headers["Content-Type"]
        assert list(from_index.get_json().items()) == list(from_nats.get_json().items())


def test_what_a_stream_has_lost_is_not_read_any_more(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index still has it, until it is compared with the streams some seconds later."""
    monkeypatch.setattr(index_reads, "READ_WINDOW_SECONDS", 0)
    key = complete(api)
    assert api.status.get("/v1/videos/v1").get_json()["status"] == "completed"
    api.bus.purge(VIDEOS, key.events_filter)
    assert api.status.get("/v1/videos/v1").get_json()["status"] == "queued"
