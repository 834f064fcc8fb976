"""`POST /v1/videos/{id}/remix`."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from functions.shared.streams.ledger import Ledger
from functions.shared.streams.validation import read_request
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import REQUESTS, VideoKey
from functions.shared.video.events import EventName
from functions.shared.video.profiles import load_profile
from tests.contract.api import Api, error_of
from tests.unit.events import completed, publish, put_request, started


@pytest.mark.parametrize("state", ["queued", "running", "cancelled", "completed"])
def test_a_remix_copies_everything_but_the_prompt(api: Api, state: str) -> None:
    """In any state of its source; and it names its source."""
    settings = {
        "size": "64x64",
        "num_frames": 13,
        "fps": 6,
        "guidance_scale": 1.5,
        "quality": "fast",
    }
    source = api.create(
        **settings, num_inference_steps=4, metadata={"team": "a"}, user="ann"
    ).get_json()
    key = VideoKey("default", source["id"])
    ledger = Ledger(api.bus, takeover_grace=0)
    if state == "cancelled":
        api.submit.post(f"/v1/videos/{source['id']}/cancel")
    elif state != "queued":
        message = api.bus.get_last_message(REQUESTS, key.request_subject, leader=True)
        assert message is not None
        request = read_request(message, load_profile("demo")).request
        begun = started(key).model_copy(update={"request": request})
        snapshot = publish(ledger, Snapshot(key), EventName.STARTED, begun)
        if state == "completed":
            done = completed(begun, prefix=f"{key.object_prefix}1-x/")
            publish(ledger, snapshot, EventName.COMPLETED, done)
    response = api.submit.post(f"/v1/videos/{source['id']}/remix", json={"prompt": "blue"})
    remix = response.get_json()
    assert response.status_code == 200, remix
    assert response.headers["Location"] == f"/v1/videos/{remix['id']}"
    assert remix["id"] != source["id"]
    assert (source["remixed_from_video_id"], remix["remixed_from_video_id"]) == (None, source["id"])
    # Who asked for the source did not ask for this one.
    assert (source["user"], remix["user"]) == ("ann", None)
    own = {"id", "prompt", "user", "remixed_from_video_id", "created_at", "expires_at"}
    assert {n: v for n, v in remix.items() if n not in own} == {
        n: v for n, v in source.items() if n not in own
    }
    assert remix["prompt"] == "blue"
    # Events carry it too.
    cancelled = api.submit.post(f"/v1/videos/{remix['id']}/cancel").get_json()
    assert cancelled["remixed_from_video_id"] == source["id"]
    listed = api.status.get("/v1/videos?q=blue").get_json()["data"]
    assert [video["remixed_from_video_id"] for video in listed] == [source["id"]]


def test_a_remix_may_have_its_own_metadata_and_be_sent_as_a_form(api: Api) -> None:
    """And a model of any name, as in create."""
    source = api.create(metadata={"team": "a"}).get_json()
    form = {"prompt": "blue", "model": "sora-2", "metadata[team]": "b"}
    remix = api.submit.post(f"/v1/videos/{source['id']}/remix", data=form).get_json()
    assert (remix["metadata"], remix["model"]) == ({"team": "b"}, "mochi-1-demo")
    bare = api.submit.post(
        f"/v1/videos/{source['id']}/remix", json={"prompt": "blue", "metadata": {}}
    )
    assert bare.get_json()["metadata"] == {}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": "x", "seed": 1}, "seed"),
        ({"prompt": "x", "remixed_from_video_id": "v2"}, "remixed_from_video_id"),
        ({"prompt": "x", "metadata": {"a": 1}}, "metadata"),
    ],
)
def test_a_bad_remix_is_refused(api: Api, body: dict[str, Any], param: str) -> None:
    """400 that names the field; create does not accept `remixed_from_video_id` either."""
    source = api.create().get_json()
    response = api.submit.post(f"/v1/videos/{source['id']}/remix", json=body)
    assert (response.status_code, error_of(response)["param"]) == (400, param)
    assert api.create(remixed_from_video_id="v").status_code == 400
    assert len(api.requests()) == 1


def test_a_remix_needs_an_existing_valid_source(api: Api) -> None:
    """404 for a source that is absent or deleted, and 400 for one that never had settings."""
    source = api.create().get_json()["id"]
    api.submit.delete(f"/v1/videos/{source}")
    put_request(api.bus, VideoKey("default", "bad"), width=33)
    before = api.requests()
    for name, status, code in (
        (source, 404, "video_not_found"),
        ("unknown", 404, "video_not_found"),
        ("*", 404, "video_not_found"),
        ("bad", 400, "invalid_source"),
    ):
        response = api.submit.post(f"/v1/videos/{name}/remix", json={"prompt": "x"})
        assert (response.status_code, error_of(response)["code"]) == (status, code), name
    assert api.requests() == before


def test_an_idempotency_key_makes_one_remix(api: Api) -> None:
    """Sent again: the same video, even if the source is deleted; with another source: 422."""
    one, two = (api.create(seed=seed).get_json()["id"] for seed in (1, 1))
    headers = {"Idempotency-Key": "order-7"}

    def send(source: str, **body: object) -> TestResponse:
        return api.submit.post(f"/v1/videos/{source}/remix", json=body, headers=headers)

    first = send(one, prompt="blue")
    assert send(one, prompt="blue").get_json()["id"] == first.get_json()["id"]
    for response in (
        send(two, prompt="blue"),
        send(one, prompt="red"),
        send(one, prompt="blue", metadata={"a": "b"}),
        send(one, prompt="blue", metadata={}),
        api.submit.post("/v1/videos", json={"prompt": "blue", "seed": 1}, headers=headers),
    ):
        assert (response.status_code, error_of(response)["code"]) == (422, "idempotency_key_reused")
    api.submit.delete(f"/v1/videos/{one}")
    assert send(one, prompt="blue").get_json()["id"] == first.get_json()["id"]
    api.submit.post(f"/v1/videos/{first.get_json()['id']}/cancel")
    assert send(one, prompt="blue").get_json()["status"] == "failed"
    assert len(api.requests()) == 2
