"""The HTTP contract, over streams and a bucket in memory: every answer that a caller may get."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

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
from functions.shared.streams.ledger import Ledger, Snapshot
from functions.shared.streams.validation import read_request
from functions.shared.subjects import REQUESTS, VideoKey
from functions.shared.video.events import Cancelled, EventName
from functions.shared.video.profiles import load_profile
from tests.contract.api import BINARY, EVENT, Api, complete, make_api
from tests.unit.events import CREATED, completed, publish, put_request, request_payload, started


@pytest.fixture
def api() -> Api:
    """Without keys: everybody is the account `default`."""
    return make_api(Settings(http_deadline_seconds=0.2))


def _error(response: TestResponse) -> dict[str, Any]:
    body = response.get_json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    error: dict[str, Any] = body["error"]
    return error


# -- making videos ---------------------------------------------------------------------------------


def test_a_video_is_answered_as_it_will_be_made(api: Api) -> None:
    """202, with its address, every setting that was filled in, and how often to ask."""
    response = api.create(seed=7, model="sora-2", metadata={"team": "a"})
    video = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/v1/videos/{video['id']}"
    assert response.headers["openai-poll-after-ms"].isdigit()
    assert (video["object"], video["status"], video["progress"]) == ("video", "queued", 0)
    assert (video["model"], video["size"], video["seconds"]) == ("mochi-1-demo", "96x64", "2")
    assert (video["seed"], video["metadata"]) == (7, {"team": "a"})
    again = api.status.get(f"/v1/videos/{video['id']}").get_json()
    assert {**again, "queue_position": None} == video
    assert again["queue_position"] == 1


@pytest.mark.parametrize("kind", ["multipart/form-data", "application/x-www-form-urlencoded"])
def test_a_form_asks_for_the_same_as_json(api: Api, kind: str) -> None:
    """Text is read as the type of its field, and `metadata[name]` as a pair."""
    form = {"prompt": "x", "num_frames": "13", "guidance_scale": "1.5", "metadata[team]": "a"}
    response = api.submit.post("/v1/videos", data=form, content_type=kind)
    video = response.get_json()
    assert response.status_code == 202, video
    assert (video["num_frames"], video["guidance_scale"]) == (13, 1.5)
    assert video["metadata"] == {"team": "a"}


@pytest.mark.parametrize(
    ("body", "content_type", "status", "param"),
    [
        (b"", "application/json", 400, None),
        (b"{", "application/json", 400, None),
        (b"\xff", "application/json", 400, None),
        (b"[" * 50_000, "application/json", 400, None),
        (b"[]", "application/json", 400, None),
        (b"null", "application/json", 400, None),
        (b'"x"', "application/json", 400, None),
        (b"{}", "application/json", 400, "prompt"),
        (b'{"prompt": null}', "application/json", 400, "prompt"),
        (b'{"prompt": "\\ud800"}', "application/json", 400, "prompt"),
        (b'{"prompt": "x", "seed": 1e400}', "application/json", 400, "seed"),
        (b'{"prompt": "x", "guidance_scale": NaN}', "application/json", 400, "guidance_scale"),
        (b'{"prompt": "x", "nope": 1}', "application/json", 400, "nope"),
        (b'{"prompt": "x"}', "text/plain", 400, None),
        (b'{"prompt": "x"}', "", 400, None),
        (b"prompt=x&prompt=y", "application/x-www-form-urlencoded", 400, "prompt"),
        (b"prompt=x&metadata=7", "application/x-www-form-urlencoded", 400, "metadata"),
        (
            b"prompt=x&metadata={}&metadata[a]=b",
            "application/x-www-form-urlencoded",
            400,
            "metadata",
        ),
        (
            b"prompt=x&" + b"".join(b"f%d=1&" % n for n in range(200)),
            "application/x-www-form-urlencoded",
            400,
            "f0",
        ),
        (
            b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
            "multipart/form-data; boundary=b",
            400,
            None,
        ),
        (b'{"prompt": "x", "seed": 1, "seed": 2}', "application/json", 400, "seed"),
        ('{"prompt": "x"}'.encode("utf-16"), "application/json", 400, None),
        (b"prompt=caf%e9", "application/x-www-form-urlencoded", 400, None),
        (
            b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\ncaf\xe9\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            400,
            None,
        ),
        (b'prompt=x&metadata={"a":', "application/x-www-form-urlencoded", 400, "metadata"),
        (b"x" * (300 << 10), "application/json", 413, None),
        (b"x" * (300 << 10), "application/x-www-form-urlencoded", 413, None),
    ],
)
def test_a_bad_body_is_refused_and_leaves_nothing(
    api: Api, body: bytes, content_type: str, status: int, param: str | None
) -> None:
    """The answer says what is wrong; no request, no event, no file comes of it."""
    response = api.submit.post("/v1/videos", data=body, content_type=content_type)
    assert response.status_code == status
    assert _error(response)["param"] == param
    assert api.nothing_happened()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"a": 1}, "metadata[a] must be text"),
        ({"a": "x" * 513}, "metadata[a] has 513 characters; at most 512 are accepted"),
        ({"n" * 65: "x"}, f"the name of metadata[{'n' * 65}] has 65 characters; at most 64 are"),
        ({"": "x"}, "the name of metadata[] must not be empty"),
        (["a"], "metadata must be an object"),
        ({str(n): "x" for n in range(17)}, "metadata has more than 16 entries"),
    ],
)
def test_what_is_wrong_with_metadata_is_said_of_the_pair(
    api: Api, metadata: Any, message: str
) -> None:
    """And of its name or its text."""
    response = api.create(metadata=metadata)
    assert (response.status_code, _error(response)["param"]) == (400, "metadata")
    assert _error(response)["message"].startswith(message)
    assert api.nothing_happened()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"seed": %s}' % (b"9" * 5000), "has a number with too many digits"),
        (b'{"metadata": %s}' % (b"[" * 99_999), "is nested too deeply"),
        (b'{"prompt": "caf\xe9"}', "is not UTF-8"),
        (b'{"prompt"', "is not valid JSON"),
    ],
)
def test_a_body_that_can_not_be_read_says_why(api: Api, body: bytes, reason: str) -> None:
    """Not that all of it is no JSON."""
    response = api.submit.post("/v1/videos", data=body, content_type="application/json")
    error = _error(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_json", None)
    assert reason in error["message"]
    assert api.nothing_happened()


@pytest.mark.parametrize("headers", [{"content-type": "application/json"}, BINARY])
def test_a_compressed_body_is_refused_by_its_encoding(api: Api, headers: dict[str, str]) -> None:
    """It is not taken for bad JSON."""
    path = "/" if headers is BINARY else "/v1/videos"
    response = api.submit.post(
        path, data=b"\x1f\x8b", headers={**headers, "Content-Encoding": "gzip"}
    )
    assert response.status_code == 400
    assert "without Content-Encoding" in _error(response)["message"]


def test_a_chunked_body_that_is_too_long_is_not_cut_off(api: Api) -> None:
    """Its length is not declared, so it is counted; half of a body is never taken for the whole."""
    body = b'{"prompt": "x"}' + b" " * (256 << 10) + b"and more"
    response = api.submit.post(
        "/v1/videos",
        input_stream=io.BytesIO(body),
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert response.status_code == 413
    assert api.nothing_happened()


def test_an_answer_that_leaves_a_body_unread_ends_the_connection(api: Api) -> None:
    """A proxy that used it again would lose the next caller's request."""
    large = api.submit.post("/v1/videos", data=b"x" * (300 << 10), content_type="text/plain")
    assert (large.status_code, large.headers["Connection"]) == (413, "close")
    small = api.submit.post("/nope", data=b"x" * (200 << 10), content_type="text/plain")
    assert small.status_code == 404
    assert "Connection" not in small.headers


# Each text is within its limit.
TOO_LARGE: dict[str, Any] = {
    "prompt": "\U0001f98a" * 4096,
    "negative_prompt": "\U0001f98a" * 4096,
    "metadata": {f"{n:02d}" * 32: "\U0001f98a" * 512 for n in range(16)},
}


def test_a_request_that_would_be_too_large_is_refused_and_not_failed_later(api: Api) -> None:
    """Each text is within its limit, but together they are more than an event may have."""
    response = api.create(**TOO_LARGE)
    assert response.status_code == 413
    assert "Shorten" in _error(response)["message"]
    assert api.nothing_happened()
    assert api.create(prompt="\U0001f98a" * 4096).status_code == 202


def test_a_file_is_refused_by_its_name(api: Api) -> None:
    """Mochi makes videos from text: a reference image would be ignored, so it is refused."""
    data = {"prompt": "x", "input_reference": (io.BytesIO(b"png"), "a.png")}
    response = api.submit.post("/v1/videos", data=data, content_type="multipart/form-data")
    assert response.status_code == 400
    assert _error(response)["param"] == "input_reference"
    assert api.nothing_happened()


def test_an_idempotency_key_makes_one_video(api: Api) -> None:
    """Sent again: the same video; with another request: 422; deleted: 410; odd: 400."""
    headers = {"Idempotency-Key": "order-7"}
    first = api.submit.post("/v1/videos", json={"prompt": "x"}, headers=headers)
    again = api.submit.post("/v1/videos", data={"prompt": "x"}, headers=headers)
    assert again.get_json()["id"] == first.get_json()["id"]
    assert len(api.requests()) == 1
    other = api.submit.post("/v1/videos", json={"prompt": "y"}, headers=headers)
    assert (other.status_code, _error(other)["code"]) == (422, "idempotency_key_reused")
    api.submit.delete(first.headers["Location"])
    gone = api.submit.post("/v1/videos", json={"prompt": "x"}, headers=headers)
    assert (gone.status_code, _error(gone)["code"]) == (410, "video_deleted")
    odd = api.submit.post("/v1/videos", json={"prompt": "x"}, headers={"Idempotency-Key": "a b"})
    assert (odd.status_code, _error(odd)["param"]) == (400, "Idempotency-Key")


# -- remixing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["queued", "running", "cancelled", "completed"])
def test_a_remix_takes_over_everything_but_the_prompt(api: Api, state: str) -> None:
    """From any state of its source: the same settings and seed, and it says where it is from."""
    settings = {"size": "64x64", "num_frames": 13, "fps": 6, "guidance_scale": 1.5}
    source = api.create(**settings, num_inference_steps=4, metadata={"team": "a"}).get_json()
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
    assert response.status_code == 202, remix
    assert response.headers["Location"] == f"/v1/videos/{remix['id']}"
    assert remix["id"] != source["id"]
    assert (source["remixed_from_video_id"], remix["remixed_from_video_id"]) == (None, source["id"])
    own = {"id", "prompt", "remixed_from_video_id", "created_at", "expires_at"}
    assert {n: v for n, v in remix.items() if n not in own} == {
        n: v for n, v in source.items() if n not in own
    }
    assert remix["prompt"] == "blue"
    # What is carried from event to event tells it too.
    cancelled = api.submit.post(f"/v1/videos/{remix['id']}/cancel").get_json()
    assert cancelled["remixed_from_video_id"] == source["id"]
    listed = api.status.get("/v1/videos?q=blue").get_json()["data"]
    assert [video["remixed_from_video_id"] for video in listed] == [source["id"]]


def test_a_remix_may_have_metadata_of_its_own_and_come_as_a_form(api: Api) -> None:
    """And a model, of any name, as in create."""
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
    """400 that names the field; nor can create be told that it is one."""
    source = api.create().get_json()
    response = api.submit.post(f"/v1/videos/{source['id']}/remix", json=body)
    assert (response.status_code, _error(response)["param"]) == (400, param)
    assert api.create(remixed_from_video_id="v").status_code == 400
    assert len(api.requests()) == 1


def test_a_remix_needs_a_source_that_is_there_and_was_valid(api: Api) -> None:
    """404 for a video that is absent or deleted, and 400 for one that never had settings."""
    source = api.create().get_json()["id"]
    api.submit.delete(f"/v1/videos/{source}")
    put_request(api.bus, VideoKey("default", "bad"), width=33)
    before = api.requests()
    for name, status, code in (
        (source, 404, "video_not_found"),
        ("nobody", 404, "video_not_found"),
        ("*", 404, "video_not_found"),
        ("bad", 400, "invalid_source"),
    ):
        response = api.submit.post(f"/v1/videos/{name}/remix", json={"prompt": "x"})
        assert (response.status_code, _error(response)["code"]) == (status, code), name
    assert api.requests() == before


def test_an_idempotency_key_makes_one_remix(api: Api) -> None:
    """Sent again, the same video, even when its source is gone; of another source, 422."""
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
        api.submit.post("/v1/videos", json={"prompt": "blue", "seed": 1}, headers=headers),
    ):
        assert (response.status_code, _error(response)["code"]) == (422, "idempotency_key_reused")
    api.submit.delete(f"/v1/videos/{one}")
    assert send(one, prompt="blue").get_json()["id"] == first.get_json()["id"]
    api.submit.post(f"/v1/videos/{first.get_json()['id']}/cancel")
    assert send(one, prompt="blue").get_json()["status"] == "failed"
    assert len(api.requests()) == 2


def test_a_full_queue_says_when_to_come_back() -> None:
    """429 with a Retry-After that openai-python honours."""
    api = make_api(Settings(queue_limit=1))
    api.bus.inject("kinora.requests.other.v", b"")
    response = api.create()
    assert (response.status_code, _error(response)["code"]) == (429, "queue_full")
    assert 0 < int(response.headers["Retry-After"]) <= 120
    assert len(api.requests()) == 1


def test_without_nats_a_caller_hears_503_in_time(api: Api) -> None:
    """No answer is never taken for a failure or a success."""
    api.bus.unavailable = True
    for response in (
        api.create(),
        api.submit.delete("/v1/videos/v"),
        api.submit.post("/v1/videos/v/cancel"),
        api.status.get("/v1/videos/v"),
        api.status.get("/v1/videos"),
        api.status.get("/v1/videos/v/content"),
    ):
        assert response.status_code == 503
        assert _error(response)["message"]
        assert int(response.headers["Retry-After"]) > 0
    assert api.submit.get("/readyz").status_code == 503
    assert api.status.get("/readyz").status_code == 503
    assert api.submit.get("/healthz").status_code == 200


# -- CloudEvents -----------------------------------------------------------------------------------


def test_an_event_becomes_a_request_in_every_mode(api: Api) -> None:
    """202 and no body, because a Knative Trigger would take a body for a failure."""
    data = {"prompt": "x"}
    structured = {**EVENT, "id": "2", "data": data}
    batch = [{**EVENT, "id": str(n), "data": data} for n in (3, 4)]
    for response, location in (
        (api.submit.post("/", json=data, headers=BINARY), True),
        (
            api.submit.post(
                "/", data=json.dumps(structured), content_type="application/cloudevents+json"
            ),
            True,
        ),
        (
            api.submit.post(
                "/", data=json.dumps(batch), content_type="application/cloudevents-batch+json"
            ),
            False,
        ),
    ):
        assert (response.status_code, response.data) == (202, b"")
        assert ("Location" in response.headers) is location
    assert len(api.requests()) == 4


def test_an_event_that_comes_again_makes_no_second_video(api: Api) -> None:
    """The id is the event's subject, else derived from its source and id."""
    for _ in range(2):
        api.submit.post("/", json={"prompt": "x"}, headers=BINARY)
        api.submit.post("/", json={"prompt": "x"}, headers={**BINARY, "ce-subject": "mine"})
    assert len(api.requests()) == 2
    assert "kinora.requests.default.mine" in api.requests()
    other = api.submit.post("/", json={"prompt": "y"}, headers={**BINARY, "ce-subject": "mine"})
    assert other.status_code == 422


def _send_batch(api: Api, *events: dict[str, Any]) -> TestResponse:
    """POST each of these, with an id of its own if it has none, as one batch."""
    batch = [{**EVENT, "id": str(n), **event} for n, event in enumerate(events)]
    return api.submit.post(
        "/", data=json.dumps(batch), content_type="application/cloudevents-batch+json"
    )


def test_a_batch_has_room_for_all_of_it_or_is_not_taken() -> None:
    """429 before anything is stored; what is there already needs no room; 400 if it never fits."""
    api = make_api(Settings(queue_limit=3))

    def send(*ids: str) -> TestResponse:
        return _send_batch(api, *({"id": id_, "data": {"prompt": "x"}} for id_ in ids))

    assert send("1", "2").status_code == 202
    full = send("3", "4")
    assert (full.status_code, _error(full)["code"]) == (429, "queue_full")
    assert len(api.requests()) == 2
    assert send("1", "2", "3").status_code == 202
    assert len(api.requests()) == 3
    assert send("1", "2", "3").status_code == 202
    never = send("4", "5", "6", "7")
    assert never.status_code == 400
    assert "at most 3" in _error(never)["message"]
    assert len(api.requests()) == 3


def test_a_batch_with_an_event_that_is_too_large_is_not_taken_at_all(api: Api) -> None:
    """413 that names the event; what its settings add counts too."""
    response = _send_batch(api, {"data": {"prompt": "x"}}, {"data": TOO_LARGE})
    assert (response.status_code, _error(response)["code"]) == (413, "request_too_large")
    assert "Event 1:" in _error(response)["message"]
    assert api.nothing_happened()


def test_a_batch_that_was_stored_in_part_can_be_sent_again(api: Api) -> None:
    """503 where the stream turned out to be full; what is there is not made twice."""
    api.bus.faults.extend(["", "full"])
    events = [{"data": {"prompt": "x"}}] * 3
    response = _send_batch(api, *events)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert len(api.requests()) == 1
    assert _send_batch(api, *events).status_code == 202
    assert len(api.requests()) == 3


def test_a_batch_with_a_conflict_is_not_taken_at_all(api: Api) -> None:
    """Neither two events that contradict each other, nor one that contradicts what is there."""
    api.submit.post("/", json={"prompt": "x"}, headers={**BINARY, "ce-subject": "there"})

    def send(*events: tuple[str, str]) -> TestResponse:
        return _send_batch(
            api, *({"subject": subject, "data": {"prompt": prompt}} for subject, prompt in events)
        )

    assert send(("new", "x"), ("new", "y")).status_code == 400
    conflict = send(("new", "x"), ("there", "y"))
    assert conflict.status_code == 422
    assert "Event 1:" in _error(conflict)["message"]
    assert api.requests() == ["kinora.requests.default.there"]
    assert send(("new", "x"), ("new", "x"), ("there", "x")).status_code == 202
    assert len(api.requests()) == 2


@pytest.mark.parametrize(
    ("headers", "body", "param"),
    [
        ({"content-type": "application/json"}, b'{"prompt": "x"}', None),
        ({"content-type": "application/json", "ce-foo": "x"}, b'{"prompt": "x"}', None),
        ({"content-type": "text/plain"}, b"hello", None),
        ({}, b"", None),
        ({**BINARY, "ce-id": ""}, b'{"prompt": "x"}', "id"),
        ({**BINARY, "ce-specversion": "9"}, b'{"prompt": "x"}', "specversion"),
        ({**BINARY, "ce-type": "other"}, b'{"prompt": "x"}', "type"),
        ({**BINARY, "ce-time": "yesterday"}, b'{"prompt": "x"}', "time"),
        ({**BINARY, "ce-subject": "a.*"}, b'{"prompt": "x"}', "subject"),
        ({**BINARY, "content-type": "text/plain"}, b'{"prompt": "x"}', "datacontenttype"),
        (BINARY, b'{"prompt"', "data"),
        (BINARY, b'{"prompt": "x", "prompt": "y"}', "prompt"),
        ({"content-type": "application/cloudevents+json"}, request_payload({}, id=5), "id"),
        (BINARY, b"", "data"),
        (BINARY, b"[1]", "data"),
        (BINARY, b"{}", "prompt"),
        (BINARY, b'{"prompt": "x", "width": 33}', "width"),
        ({"content-type": "application/cloudevents+json"}, b"\xff", None),
        ({"content-type": "application/cloudevents+json"}, b"[]", None),
        ({"content-type": "application/cloudevents+json"}, request_payload([1]), "data"),
        (
            {"content-type": "application/cloudevents+json"},
            request_payload({"prompt": "x"}, datacontenttype=7),
            "datacontenttype",
        ),
        ({"content-type": "application/cloudevents-batch+json"}, b"{}", None),
        (
            {"content-type": "application/cloudevents-batch+json"},
            json.dumps([{**EVENT, "data": {"prompt": "x"}}, {**EVENT, "id": ""}]).encode(),
            "id",
        ),
        (
            {"content-type": "application/cloudevents-batch+json"},
            json.dumps(
                [{**EVENT, "data": {"prompt": "x"}}, {**EVENT, "id": "2", "data": {"seed": -1}}]
            ).encode(),
            "prompt",
        ),
        ({"content-type": "application/cloudevents-batch+json"}, b"[" + b"1," * 200 + b"1]", None),
    ],
)
def test_a_bad_event_is_refused_and_a_batch_is_taken_whole_or_not_at_all(
    api: Api, headers: dict[str, str], body: bytes, param: str | None
) -> None:
    """400 that names the attribute or the field, and nothing is published."""
    response = api.submit.post("/", data=body, headers=headers)
    assert response.status_code == 400
    assert _error(response)["param"] == param
    assert api.nothing_happened()


# -- reading ---------------------------------------------------------------------------------------


def test_content_is_served_whole_in_part_and_not_again(api: Api) -> None:
    """200, 206 for a range, 304 for a caller who has it, and HEAD without a body."""
    complete(api)
    url = "/v1/videos/v1/content"
    whole = api.status.get(url)
    assert (whole.status_code, whole.data) == (200, b"0123456789")
    assert whole.headers["Content-Type"] == "video/mp4"
    assert whole.headers["Content-Length"] == "10"
    assert "v1.mp4" in whole.headers["Content-Disposition"]
    part = api.status.get(url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.data) == (206, b"234")
    assert part.headers["Content-Range"] == "bytes 2-4/10"
    tail = api.status.get(url, headers={"Range": "bytes=-3"})
    assert (tail.status_code, tail.data) == (206, b"789")
    etag = whole.headers["ETag"]
    assert api.status.get(url, headers={"If-None-Match": etag}).status_code == 304
    assert api.status.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    stale = api.status.get(url, headers={"Range": "bytes=2-4", "If-Range": '"other"'})
    assert stale.data == b"0123456789"
    weak = {"If-None-Match": f'"other", W/{etag}'}
    assert api.status.get(url, headers=weak).status_code == 304
    assert api.status.get(url, headers={"If-None-Match": "*"}).status_code == 304
    fresh = api.status.get(url, headers={"Range": "bytes=2-4", "If-Range": etag})
    assert fresh.data == b"234"
    for doubtful in (f"W/{etag}", "Sat, 21 Nov 2026 12:00:00 GMT"):
        strong = api.status.get(url, headers={"Range": "bytes=2-4", "If-Range": doubtful})
        assert strong.data == b"0123456789", "only a strong validator is sure (section 13.1.5)"
    several = api.status.get(url, headers={"Range": "bytes=0-1,4-5"})
    assert (several.status_code, several.data) == (200, b"0123456789")
    thumbnail = api.status.get(f"{url}?variant=thumbnail")
    assert (thumbnail.data, thumbnail.headers["Content-Type"]) == (b"jpeg", "image/jpeg")
    assert thumbnail.headers["ETag"] != etag


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/videos/v1/content", {}),
        ("/v1/videos/v1/content", {"If-None-Match": "*"}),
        ("/v1/videos/v1/content?variant=gif", {}),
        ("/v1/videos/v1", {}),
        ("/v1/videos/nobody", {}),
        ("/v1/videos", {}),
        ("/v1/models", {}),
        ("/v1/events", {}),
    ],
)
def test_head_is_get_without_a_body(api: Api, path: str, headers: dict[str, str]) -> None:
    """The same status and the same headers."""
    complete(api)
    # Both as the same request, because its id is one of the headers.
    sent = {**headers, "x-request-id": "r"}
    with api.status.get(path, headers=sent) as get:
        head = api.status.head(path, headers=sent)
        assert (head.status_code, head.data) == (get.status_code, b"")
        assert dict(head.headers) == dict(get.headers)


def test_head_knows_no_ranges(api: Api) -> None:
    """It tells about the whole file (RFC 9110, section 14.2)."""
    complete(api)
    head = api.status.head("/v1/videos/v1/content", headers={"Range": "bytes=2-4"})
    assert (head.status_code, head.headers["Content-Length"]) == (200, "10")
    assert (head.headers["Accept-Ranges"], "Content-Range" in head.headers) == ("bytes", False)


def test_content_that_can_not_be_served_says_why(api: Api) -> None:
    """404 with a reason: not 409, which the official client would repeat."""
    complete(api)
    ledger = Ledger(api.bus, takeover_grace=0)
    put_request(api.bus, VideoKey("default", "waiting"))
    publish(
        ledger,
        Snapshot(VideoKey("default", "stopped")),
        EventName.CANCELLED,
        Cancelled(created_at=CREATED),
    )
    for path, status, code, words in (
        ("waiting/content", 404, "video_not_ready", "not finished"),
        ("stopped/content", 404, "video_not_ready", "cancelled"),
        ("nobody/content", 404, "video_not_found", "No such video"),
        ("v1/content?variant=gif", 400, "invalid_value", "thumbnail"),
    ):
        response = api.status.get(f"/v1/videos/{path}")
        assert (response.status_code, _error(response)["code"]) == (status, code)
        assert words in _error(response)["message"]
    beyond = api.status.get("/v1/videos/v1/content", headers={"Range": "bytes=99-"})
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == "bytes */10"
    for ignored in ("bytes=5-2", "bytes=-", "bytes=0-" + "9" * 30, "lines=1-2"):
        whole = api.status.get("/v1/videos/v1/content", headers={"Range": ignored})
        assert (whole.status_code, whole.data) == (200, b"0123456789"), ignored


def test_a_replica_that_lags_behind_proves_no_404(api: Api) -> None:
    """Before anything is 'not found' or 'not ready', the leader is asked."""
    api.bus.lag()
    complete(api)
    waiting = api.create().get_json()["id"]
    assert api.status.get("/v1/videos/v1").get_json()["status"] == "completed"
    assert api.status.get(f"/v1/videos/{waiting}").get_json()["status"] == "queued"
    assert api.status.get("/v1/videos/v1/content").status_code == 200


def test_content_is_found_where_a_lagging_replica_says_not_ready(api: Api) -> None:
    """The video was running a moment ago, and a replica still says so."""
    key = VideoKey("default", "v1")
    ledger = Ledger(api.bus, takeover_grace=0)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    api.bus.lag()
    done = completed(started(key), prefix=f"{key.object_prefix}1-x/")
    publish(ledger, state, EventName.COMPLETED, done)
    api.store.files[f"{key.object_prefix}1-x/video.mp4"] = (b"mp4", "video/mp4")
    assert api.status.get("/v1/videos/v1/content").data == b"mp4"


def test_a_list_pages_by_the_id_of_its_last_video(api: Api) -> None:
    """Newest first, with what the official client needs to go on."""
    ids = [api.create().get_json()["id"] for _ in range(5)]
    page = api.status.get("/v1/videos?limit=2").get_json()
    assert (page["object"], page["has_more"]) == ("list", True)
    assert [video["id"] for video in page["data"]] == ids[:2:-1]
    assert (page["first_id"], page["last_id"]) == (ids[4], ids[3])
    rest = api.status.get(f"/v1/videos?limit=3&after={page['last_id']}").get_json()
    assert [video["id"] for video in rest["data"]] == ids[2::-1]
    assert rest["has_more"] is False
    up = api.status.get("/v1/videos?order=asc&unknown=ignored").get_json()
    assert [video["id"] for video in up["data"]] == ids
    empty = api.status.get(f"/v1/videos?after={ids[0]}").get_json()
    assert (empty["data"], empty["last_id"], empty["has_more"]) == ([], None, False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("limit=-1", "limit"),
        ("limit=²", "limit"),
        ("order=up", "order"),
        ("after=nobody", "after"),
        ("after=*", "after"),
        ("status=done", "status"),
        ("status=queued,done", "status"),
        ("status=queued&status=done", "status"),
        ("created_after=yesterday", "created_after"),
        ("created_after=-1", "created_after"),
        ("created_before=1795000000000", "created_before"),
        ("created_before=2026-13-01T00:00:00Z", "created_before"),
        ("created_before=1&created_before=2", "created_before"),
        ("metadata=a", "metadata"),
        ("metadata[]=a", "metadata"),
        ("metadata[a=b", "metadata"),
        ("metadata[a]=1&metadata[a]=2", "metadata[a]"),
        ("&".join(f"metadata[{n}]=x" for n in range(17)), "metadata"),
        ("q=a&q=b", "q"),
    ],
)
def test_a_bad_query_names_its_parameter(api: Api, query: str, param: str) -> None:
    """400, like any other bad input."""
    response = api.status.get(f"/v1/videos?{query}")
    assert (response.status_code, _error(response)["param"]) == (400, param)


def test_filters_narrow_the_list_down(api: Api) -> None:
    """Alone and together; empty ones and unknown parameters change nothing."""
    one = api.create(prompt="Ein STRASSENFEST, 100% bunt", metadata={"team": "a", "k": ""}).json
    two = api.create(prompt="a quiet street_lamp", metadata={"team": "a"}).json
    assert one is not None
    assert two is not None
    api.submit.post(f"/v1/videos/{two['id']}/cancel")
    now = two["created_at"]
    for query, expected in {
        "status=&q=&created_after=&foo=1": [two, one],
        "status=queued": [one],
        "status=failed,completed": [two],
        "status=failed&status=queued": [two, one],
        "status=in_progress": [],
        "metadata[team]=a": [two, one],
        "metadata[team]=a&metadata[k]=": [one],
        "metadata[team]=b": [],
        "q=straßen": [one],
        "q=0%25+B": [one],
        "q=%25": [one],
        "q=t_l": [two],
        "q=_": [two],
        "q=%00": [],
        "q=str&status=queued": [one],
        f"created_after={now}": [two, one],
        f"created_after={now + 1}": [],
        f"created_before={now}": [],
        "created_before=0": [],
        f"created_before={now + 1}.5": [two, one],
        "created_after=2020-01-01T00:00:00+01:00": [two, one],
        "created_after=2020-01-01t00:00:00%2B01:00&created_before=2021-01-01T00:00:00Z": [],
        "created_after=99999999999": [],
        # A place in the list stays one when its video no longer fulfils the filters.
        f"after={two['id']}&status=queued": [one],
        f"after={two['id']}&status=failed": [],
    }.items():
        page = api.status.get(f"/v1/videos?{query}").get_json()
        assert "data" in page, (query, page)
        assert [video["id"] for video in page["data"]] == [v["id"] for v in expected], query
        assert page["has_more"] is False


def test_models_tells_what_can_be_made(api: Api) -> None:
    """One model, its limits and defaults, and that it is the demo."""
    (model,) = api.status.get("/v1/models").get_json()["data"]
    assert (model["id"], model["object"], model["demo"]) == ("mochi-1-demo", "model", True)
    assert model["default_size"] in model["sizes"]
    assert model["num_frames"]["min"] == 7


# -- ending videos ---------------------------------------------------------------------------------


def test_cancel_and_delete_answer_what_the_official_client_expects(api: Api) -> None:
    """A cancelled video is `failed`: strict clients know no other state."""
    video_id = api.create().get_json()["id"]
    cancelled = api.submit.post(f"/v1/videos/{video_id}/cancel").get_json()
    assert (cancelled["status"], cancelled["error"]["code"]) == ("failed", "cancelled")
    assert cancelled["completed_at"] is not None
    deleted = api.submit.delete(f"/v1/videos/{video_id}")
    assert deleted.get_json() == {"id": video_id, "object": "video.deleted", "deleted": True}
    assert api.status.get(f"/v1/videos/{video_id}").status_code == 404
    assert api.status.get("/v1/videos").get_json()["data"] == []


@pytest.mark.parametrize("video_id", ["*", ">", "a.b", "%2e%2e", "x" * 65, "a%20b", "a%0a"])
def test_odd_ids_are_not_found_and_touch_nothing(api: Api, video_id: str) -> None:
    """An id '*' must never reach a subject: it would purge every video of the account."""
    complete(api)
    files = dict(api.store.files)
    for response in (
        api.status.get(f"/v1/videos/{video_id}"),
        api.status.get(f"/v1/videos/{video_id}/content"),
        api.submit.delete(f"/v1/videos/{video_id}"),
        api.submit.post(f"/v1/videos/{video_id}/cancel"),
    ):
        assert response.status_code == 404
        _error(response)
    assert api.store.files == files
    assert len(api.requests()) == 1


# -- accounts --------------------------------------------------------------------------------------


def test_a_bad_keys_file_stops_the_start(tmp_path: Path) -> None:
    """With the number of the line, and without its content: it may be a key."""
    path = tmp_path / "keys"
    path.write_text("secret-key-in-clear account\n")
    with pytest.raises(ValueError, match="line 1") as error:
        make_api(Settings(api_keys_file=str(path)))
    assert "secret" not in str(error.value)


# -- operations ------------------------------------------------------------------------------------


def test_unknown_routes_and_methods_are_json_errors(api: Api) -> None:
    """A program never has to read HTML."""
    assert _error(api.status.get("/nope"))["code"] == "not_found"
    wrong = api.submit.put("/v1/videos")
    assert wrong.status_code == 405
    assert "POST" in wrong.headers["Allow"]
    _error(wrong)


def test_a_request_id_is_kept_or_made(api: Api) -> None:
    """A caller's own is returned, unless it could not stand in a log."""
    kept = api.status.get("/healthz", headers={"x-request-id": "mine-1"})
    assert kept.headers["x-request-id"] == "mine-1"
    made = api.status.get("/healthz", headers={"x-request-id": "a b\t"})
    assert made.headers["x-request-id"].startswith("req_")


def test_metrics_count_requests_by_route(api: Api) -> None:
    """By the route and not the path, so that ids do not become labels."""
    api.status.get("/v1/videos/v-secret")
    text = api.status.get("/metrics").get_data(as_text=True)
    assert 'route="/v1/videos/<video_id>"' in text
    assert "v-secret" not in text


def test_an_unexpected_error_tells_nothing_of_the_inside(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 as JSON; the details are for the log."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(api.bus, "get_last_message", broken)
    response = api.status.get("/v1/videos/v1")
    assert response.status_code == 500
    assert "secret" not in _error(response)["message"]


@pytest.mark.parametrize("error", [QueueFull, Unavailable, OutcomeUnknown, SequenceConflict])
def test_who_may_try_again_is_told_when(error: type[KinoraError]) -> None:
    """Every 429 and 503 has a Retry-After that openai-python honours."""
    after = error().retry_after
    assert after is not None
    assert 0 < after <= MAX_RETRY_AFTER
    assert error(retry_after=7).retry_after == 7


def test_the_errors_have_their_own_statuses() -> None:
    """The class alone decides what a caller sees."""
    assert InvalidRequest("x", param="y").body()["error"]["param"] == "y"
