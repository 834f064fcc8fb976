"""`POST /`: CloudEvents that request videos, alone and in batches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from functions.shared.config import Settings
from tests.contract.api import BINARY, EVENT, TOO_LARGE, Api, error_of, make_api
from tests.unit.events import request_payload


def test_an_event_becomes_a_request_in_every_mode(api: Api) -> None:
    """202 without a body, because a Knative Trigger would treat a body as a failure."""
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


def test_an_event_sent_again_makes_no_second_video(api: Api) -> None:
    """The id is the event's subject, or derived from its source and id."""
    for _ in range(2):
        api.submit.post("/", json={"prompt": "x"}, headers=BINARY)
        api.submit.post("/", json={"prompt": "x"}, headers={**BINARY, "ce-subject": "mine"})
    assert len(api.requests()) == 2
    assert "kinora.requests.default.mine" in api.requests()
    other = api.submit.post("/", json={"prompt": "y"}, headers={**BINARY, "ce-subject": "mine"})
    assert other.status_code == 422


def _send_batch(api: Api, *events: dict[str, Any]) -> TestResponse:
    """POST events as one batch; those without an id get one."""
    batch = [{**EVENT, "id": str(n), **event} for n, event in enumerate(events)]
    return api.submit.post(
        "/", data=json.dumps(batch), content_type="application/cloudevents-batch+json"
    )


def test_a_batch_that_does_not_fit_into_the_queue_is_refused() -> None:
    """429 before anything is stored; stored events need no room; 400 if it can never fit."""
    api = make_api(Settings(queue_limit=3))

    def send(*ids: str) -> TestResponse:
        return _send_batch(api, *({"id": id_, "data": {"prompt": "x"}} for id_ in ids))

    assert send("1", "2").status_code == 202
    full = send("3", "4")
    assert (full.status_code, error_of(full)["code"]) == (429, "queue_full")
    assert len(api.requests()) == 2
    assert send("1", "2", "3").status_code == 202
    assert len(api.requests()) == 3
    assert send("1", "2", "3").status_code == 202
    never = send("4", "5", "6", "7")
    assert never.status_code == 400
    assert "at most 3" in error_of(never)["message"]
    assert len(api.requests()) == 3


def test_a_batch_with_an_event_that_is_too_large_is_refused_as_a_whole(api: Api) -> None:
    """413 that names the event; its defaults count too."""
    response = _send_batch(api, {"data": {"prompt": "x"}}, {"data": TOO_LARGE})
    assert (response.status_code, error_of(response)["code"]) == (413, "request_too_large")
    assert "Event 1:" in error_of(response)["message"]
    assert api.is_empty()


def test_a_batch_that_was_stored_in_part_can_be_sent_again(api: Api) -> None:
    """503 if the stream turns out to be full; stored events are not stored twice."""
    api.bus.faults.extend(["", "full"])
    events = [{"data": {"prompt": "x"}}] * 3
    response = _send_batch(api, *events)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert len(api.requests()) == 1
    assert _send_batch(api, *events).status_code == 202
    assert len(api.requests()) == 3


def test_a_batch_with_a_conflict_is_refused_as_a_whole(api: Api) -> None:
    """Two events that contradict each other, or one that contradicts a stored request."""
    api.submit.post("/", json={"prompt": "x"}, headers={**BINARY, "ce-subject": "there"})

    def send(*events: tuple[str, str]) -> TestResponse:
        return _send_batch(
            api, *({"subject": subject, "data": {"prompt": prompt}} for subject, prompt in events)
        )

    assert send(("new", "x"), ("new", "y")).status_code == 400
    conflict = send(("new", "x"), ("there", "y"))
    assert conflict.status_code == 422
    assert "Event 1:" in error_of(conflict)["message"]
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
def test_a_bad_event_is_refused_and_so_is_the_whole_of_its_batch(
    api: Api, headers: dict[str, str], body: bytes, param: str | None
) -> None:
    """400 that names the attribute or the field; nothing is published."""
    response = api.submit.post("/", data=body, headers=headers)
    assert response.status_code == 400
    assert error_of(response)["param"] == param
    assert api.is_empty()
