"""`POST /v1/videos`: what is returned, limits, and idempotency keys."""

from __future__ import annotations

import io

import pytest

from functions.shared.config import Settings
from functions.shared.streams.first_event import known_of
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import REQUESTS, VideoKey
from functions.shared.video.events import EventName, Failed, Failure
from functions.shared.video.profiles import load_profile
from tests.contract.api import TOO_LARGE, Api, error_of, make_api
from tests.unit.events import publish


def test_the_response_has_every_setting_of_the_video(api: Api) -> None:
    """200, as OpenAI answers, with its path, every default filled in, and the polling interval."""
    response = api.create(seed=7, model="sora-2", metadata={"team": "a"})
    video = response.get_json()
    assert response.status_code == 200
    assert response.headers["Location"] == f"/v1/videos/{video['id']}"
    assert response.headers["openai-poll-after-ms"].isdigit()
    assert (video["object"], video["status"], video["progress"]) == ("video", "queued", 0)
    assert (video["model"], video["size"], video["seconds"]) == ("mochi-1-demo", "96x64", "2")
    assert (video["seed"], video["metadata"]) == (7, {"team": "a"})
    again = api.status.get(f"/v1/videos/{video['id']}").get_json()
    places = ("queue_position", "own_queue_position", "queue_accounts")
    assert {**again, **dict.fromkeys(places)} == video
    assert [again[name] for name in places] == [1, 1, 1]


def test_standard_fields_of_other_servers_are_taken(api: Api) -> None:
    """`user` is stored with the video; the others say what is so anyway, and have no effect."""
    harmless = {"n": 1, "num_outputs_per_prompt": 1, "generator_device": "cuda"}
    for fields in (harmless, {name: str(value) for name, value in harmless.items()}):
        response = api.create(user="ann", **fields)
        video = response.get_json()
        assert (response.status_code, video["user"]) == (200, "ann"), video
        assert not video["warnings"]
        assert not harmless.keys() & video.keys()
        assert api.status.get(f"/v1/videos/{video['id']}").get_json()["user"] == "ann"


@pytest.mark.parametrize("kind", ["multipart/form-data", "application/x-www-form-urlencoded"])
def test_a_form_is_equivalent_to_json(api: Api, kind: str) -> None:
    """Text is parsed as the type of its field, and `metadata[name]` as a pair."""
    form = {"prompt": "x", "num_frames": "13", "guidance_scale": "1.5", "quality": "fast"}
    form["metadata[team]"] = "a"
    response = api.submit.post("/v1/videos", data=form, content_type=kind)
    video = response.get_json()
    assert response.status_code == 200, video
    assert (video["num_frames"], video["guidance_scale"]) == (13, 1.5)
    assert video["quality"] == "fast"
    assert video["metadata"] == {"team": "a"}


def test_a_name_in_metadata_may_have_brackets(api: Api) -> None:
    """In a form as in JSON; and the list is filtered by it."""
    form = {"prompt": "x", "metadata[shot[1]]": "a", "metadata[]]": "b"}
    video = api.submit.post("/v1/videos", data=form).get_json()
    assert video["metadata"] == {"shot[1]": "a", "]": "b"}
    for name, value in video["metadata"].items():
        listed = api.status.get("/v1/videos", query_string={f"metadata[{name}]": value})
        assert [found["id"] for found in listed.get_json()["data"]] == [video["id"]]


def test_a_file_in_a_form_is_refused_by_its_name(api: Api) -> None:
    """Mochi uses text only: a reference image would be ignored, so it is refused."""
    for path in ("/v1/videos", "/v1/videos/v1/remix"):
        data = {"prompt": "x", "input_reference": (io.BytesIO(b"png"), "a.png")}
        response = api.submit.post(path, data=data, content_type="multipart/form-data")
        assert response.status_code == 400
        error = error_of(response)
        assert (error["param"], error["code"]) == ("input_reference", "unsupported_parameter")
    assert api.is_empty()


def test_a_request_that_is_too_large_with_its_defaults_is_refused(api: Api) -> None:
    """413 at once, although each field is within its limit, instead of a failure later."""
    response = api.create(**TOO_LARGE)
    assert response.status_code == 413
    assert "Shorten" in error_of(response)["message"]
    assert api.is_empty()
    assert api.create(prompt="\U0001f98a" * 4096).status_code == 200


def test_an_idempotency_key_makes_one_video(api: Api) -> None:
    """Sent again: the same video; with another request: 422; deleted: 410; invalid: 400."""
    headers = {"Idempotency-Key": "order-7"}
    first = api.submit.post("/v1/videos", json={"prompt": "x"}, headers=headers)
    for form in ({"prompt": "x"}, {"prompt": "x", "negative_prompt": ""}):
        again = api.submit.post("/v1/videos", data=form, headers=headers)
        assert again.get_json()["id"] == first.get_json()["id"]
    assert len(api.requests()) == 1
    other = api.submit.post("/v1/videos", json={"prompt": "y"}, headers=headers)
    assert (other.status_code, error_of(other)["code"]) == (422, "idempotency_key_reused")
    api.submit.delete(first.headers["Location"])
    gone = api.submit.post("/v1/videos", json={"prompt": "x"}, headers=headers)
    assert (gone.status_code, error_of(gone)["code"]) == (410, "video_deleted")
    invalid = api.submit.post(
        "/v1/videos", json={"prompt": "x"}, headers={"Idempotency-Key": "a b"}
    )
    assert (invalid.status_code, error_of(invalid)["param"]) == (400, "Idempotency-Key")


def test_a_full_queue_sends_retry_after() -> None:
    """429 with a Retry-After that openai-python respects."""
    api = make_api(Settings(queue_limit=1))
    api.bus.inject("kinora.requests.other.v", b"")
    response = api.create()
    assert (response.status_code, error_of(response)["code"]) == (429, "queue_full")
    assert 0 < int(response.headers["Retry-After"]) <= 120
    assert len(api.requests()) == 1


def test_a_queued_video_tells_what_has_no_effect(api: Api) -> None:
    """In the answer, in the video and in the list; without such parts, the list is empty."""
    fields = {"seconds": "4", "num_frames": 13, "negative_prompt": "x", "guidance_scale": 1}
    video = api.create(**fields).get_json()
    codes = [one["code"] for one in video["warnings"]]
    assert codes == ["seconds_ignored", "negative_prompt_ignored"]
    assert (video["num_frames"], video["seconds"]) == (13, "1")
    again = api.status.get(f"/v1/videos/{video['id']}").get_json()
    assert again["warnings"] == video["warnings"]
    assert api.create().get_json()["warnings"] == []


def test_a_cancelled_video_keeps_its_warnings(api: Api) -> None:
    """Though no worker has claimed it."""
    video = api.create(seconds="4", num_frames=13).get_json()
    cancelled = api.submit.post(f"/v1/videos/{video['id']}/cancel").get_json()
    assert cancelled["warnings"] == video["warnings"] != []


def test_a_remix_does_not_warn_of_its_sources_seconds(api: Api) -> None:
    """It has the length of its source, and nobody asked for another."""
    video = api.create(seconds="4", num_frames=13).get_json()
    remix = api.submit.post(f"/v1/videos/{video['id']}/remix", json={"prompt": "y"}).get_json()
    assert (remix["num_frames"], remix["warnings"]) == (13, [])


def test_an_idempotency_key_finds_a_video_that_failed_before_it_started(api: Api) -> None:
    """With the prompt and the settings that it would have had."""
    sent = {"prompt": "x", "seed": 7, "metadata": {"a": "b"}}
    headers = {"idempotency-key": "k"}
    video = api.submit.post("/v1/videos", json=sent, headers=headers).get_json()
    key = VideoKey("default", video["id"])
    message = api.bus.get_last_message(REQUESTS, key.request_subject, leader=True)
    assert message is not None
    known = known_of(message, load_profile("demo"))
    failed = Failed(**known, error=Failure(code="queued_too_long", message="m"))
    publish(Ledger(api.bus, takeover_grace=0), Snapshot(key), EventName.FAILED, failed)
    again = api.submit.post("/v1/videos", json=sent, headers=headers)
    assert again.status_code == 200
    changed = {"status", "progress", "completed_at", "error"}
    assert {k: v for k, v in again.get_json().items() if k not in changed} == {
        k: v for k, v in video.items() if k not in changed
    }
