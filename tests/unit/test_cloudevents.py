"""Reading and writing CloudEvents, subjects and timestamps: every mode and every mistake."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from functions.shared.errors import InvalidEvent, InvalidRequest
from functions.shared.streams.cloudevents import ReceivedEvent, read_binary, read_nats, write_binary
from functions.shared.streams.video_events import VideoEvent, read_video_event
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import format_rfc3339, parse_rfc3339
from functions.shared.video.events import EventName
from tests.unit.events import request_payload, started


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/cloudevents+json"},
        {"Content-Type": "application/cloudevents+json; charset=utf-8"},
        {},
        {"content-type": "application/json"},
    ],
)
def test_structured_mode_is_read_with_and_without_its_content_type(
    headers: dict[str, str],
) -> None:
    """Some publishers leave out the content type."""
    event = read_nats(headers, request_payload({"prompt": "x"}))
    assert (event.id, event.data) == ("1", {"prompt": "x"})


@pytest.mark.parametrize("content_type", [None, "application/json", "text/json", "a/b+json; q=1"])
def test_data_in_base64_are_decoded(content_type: str | None) -> None:
    """Any producer may send them, though JSON needs no encoding (JSON format, section 3.1)."""
    encoded = _base64('{"prompt": "\u00e9"}'.encode())
    payload = request_payload(None, data_base64=encoded, datacontenttype=content_type)
    event = read_nats({}, payload)
    assert event.data == {"prompt": "\u00e9"}
    assert "data_base64" not in event.attributes


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/json", "A/B+JSON; charset=utf-8"]
)
def test_both_modes_take_the_same_types_of_data(content_type: str) -> None:
    """Every media type of JSON, and no other."""
    binary = {f"ce-{name}": value for name, value in ATTRIBUTES.items()}
    assert read_nats({**binary, "content-type": content_type}, b"{}").data == {}
    assert read_nats({}, request_payload({}, datacontenttype=content_type)).data == {}
    with pytest.raises(InvalidEvent) as refused:
        read_nats({**binary, "content-type": "text/plain"}, b"{}")
    assert refused.value.param == "datacontenttype"


@pytest.mark.parametrize("prefix", ["ce-", "Ce-", "CE-"])
def test_binary_mode_is_read_in_any_case(prefix: str) -> None:
    """NATS keeps the case of header names, so any case is accepted."""
    headers = {prefix + name: value for name, value in ATTRIBUTES.items()}
    assert read_nats(headers, b'{"prompt": "x"}').data == {"prompt": "x"}


@pytest.mark.parametrize(
    ("headers", "payload", "param"),
    [
        ({}, b"", None),
        ({}, b"\xff\xfe", None),
        ({}, b"garbage", None),
        ({}, b"[" * 100_000, None),
        ({}, b"[]", None),
        ({}, b'{"data": {"seed": NaN}}', "seed"),
        ({}, b'{"data": {"seed": [1, [-1e400]]}}', "seed"),
        ({}, b'{"id": "1", "id": "2"}', "id"),
        ({}, b"{}", "specversion"),
        ({}, request_payload({}, id=None), "id"),
        ({}, request_payload({}, id=""), "id"),
        ({}, request_payload({}, id=7), "id"),
        ({}, request_payload({}, source=None), "source"),
        ({}, request_payload({}, source="s" * 2000), "source"),
        ({}, request_payload({}, type=None), "type"),
        ({}, request_payload({}, specversion="9"), "specversion"),
        ({}, request_payload({}, time="yesterday"), "time"),
        ({}, request_payload({}, time=5), "time"),
        ({}, request_payload({}, subject=5), "subject"),
        ({}, request_payload({}, time="2026"), "time"),
        ({}, request_payload({}, time="2026-W47"), "time"),
        ({}, request_payload({}, time="2026-01-31"), "time"),
        ({}, request_payload({}, time="2026-01-31T12:00:00"), "time"),
        ({}, request_payload({}, team={"name": "a"}), "team"),
        ({}, request_payload({}, team=["a"]), "team"),
        ({}, request_payload({}, cost=1.5), "cost"),
        ({}, request_payload({}, datacontenttype="text/plain"), "datacontenttype"),
        ({}, request_payload({}, data_base64="e30="), "data_base64"),
        ({}, request_payload(None, data_base64="e30"), "data_base64"),
        ({}, request_payload(None, data_base64="not base64"), "data_base64"),
        ({}, request_payload(None, data_base64={}), "data_base64"),
        ({}, request_payload(None, data_base64=_base64(b'{"prompt"')), "data"),
        ({}, request_payload(None, data_base64=_base64(b'{"seed": NaN}')), "seed"),
        ({}, b'{"data": {"metadata": {"a": NaN}}}', "metadata"),
        ({}, b'{"data": {"metadata": {"a": "1", "a": "2"}}}', "metadata"),
        ({"ce-specversion": "1.0", "content-type": "text/plain"}, b"{}", "id"),
        ({"ce-specversion": "1.0"}, b"{}", "id"),
        ({"content-type": "application/cloudevents-batch+json"}, b"[]", None),
    ],
)
def test_an_invalid_event_names_the_attribute(
    headers: dict[str, str], payload: bytes, param: str | None
) -> None:
    """The SDK would invent an id, or turn broken JSON into a string; here `param` names it."""
    with pytest.raises(InvalidEvent) as error:
        read_nats(headers, payload)
    assert error.value.param == param


@given(st.binary(max_size=200), st.dictionaries(st.text(max_size=9), st.text(max_size=9)))
def test_garbage_is_refused_and_never_crashes(payload: bytes, headers: dict[str, str]) -> None:
    """Any input gives an event or an `InvalidEvent`."""
    with contextlib.suppress(InvalidEvent):
        read_nats(headers, payload)


@given(st.text(min_size=1, max_size=50), st.text(min_size=1, max_size=50))
def test_any_characters_in_attributes_survive_headers(name: str, source: str) -> None:
    """Binary mode percent-encodes what a header can't contain."""
    if any(0xD800 <= ord(c) <= 0xDFFF for c in name + source):
        return
    event = ReceivedEvent({**ATTRIBUTES, "id": name, "source": source}, {"prompt": "x"})
    headers, body = write_binary(event, sequence="7")
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    again = read_binary(headers, body)
    assert (again.id, again.attributes["source"]) == (name, source)
    assert (again.attributes["sequence"], again.data) == ("7", {"prompt": "x"})


def test_own_events_are_read_as_they_were_written() -> None:
    """Functions can read each other's events."""
    key = VideoKey("acme", "v1")
    event = VideoEvent.new(key, EventName.STARTED, started(key), source="/test")
    document = json.loads(event.to_bytes())
    assert document["type"] == "dev.kinora.video.started.v1"
    assert (document["subject"], document["account"]) == ("v1", "acme")
    assert read_video_event({}, event.to_bytes()) == (EventName.STARTED, event.id, started(key))


def test_an_event_of_another_type_is_refused() -> None:
    """The stream may have events of other programs; their type is refused."""
    with pytest.raises(InvalidEvent, match="not one of Kinora"):
        read_video_event({}, request_payload({}, type="com.example.other"))


@pytest.mark.parametrize("token", ["*", ">", "a.b", "", "a b", "x" * 65, "ä", "a\n", "../x"])
def test_invalid_tokens_never_become_a_subject(token: str) -> None:
    """An id '*' would read, or purge, every video of an account."""
    with pytest.raises(InvalidRequest):
        VideoKey("acme", token)
    with pytest.raises(InvalidRequest):
        VideoKey(token, "v1")
    with pytest.raises(InvalidRequest):
        VideoKey.from_subject(f"kinora.requests.acme.{token}")


@pytest.mark.parametrize(
    "subject", ["", "kinora", "kinora.requests.a", "kinora.videos.a.b", "other.requests.a.b"]
)
def test_foreign_subjects_are_refused(subject: str) -> None:
    """Only the subjects of the two streams are accepted."""
    with pytest.raises(InvalidRequest):
        VideoKey.from_subject(subject)


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_timestamps_keep_their_nanoseconds(nanoseconds: int) -> None:
    """Two videos created within a microsecond stay in order."""
    assert parse_rfc3339(format_rfc3339(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.520000000Z"),
        ("1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57.000000000Z"),
        ("1996-12-19t16:39:57.1234567891z", "1996-12-19T16:39:57.123456789Z"),
        # Leap seconds, the second one with an offset (RFC 3339, section 5.8).
        ("1990-12-31T23:59:60Z", "1990-12-31T23:59:59.000000000Z"),
        ("1990-12-31T15:59:60-08:00", "1990-12-31T23:59:59.000000000Z"),
    ],
)
def test_every_form_of_an_rfc_3339_time_is_read(text: str, same: str) -> None:
    """The examples of the RFC, and the letters in either case."""
    assert format_rfc3339(parse_rfc3339(text)) == same


def test_the_sdk_reads_own_events() -> None:
    """So can any other system; prompts are written in UTF-8, and so stay short."""
    key = VideoKey("acme", "video_1")
    event = VideoEvent.new(key, EventName.STARTED, started(key), source="/kinora/test")
    data = event.to_bytes().replace(b"a red circle", "ein roter Kreis €".encode())
    read = JSONFormat().read(CloudEvent, data)
    attributes = read.get_attributes()
    assert attributes["time"].tzinfo is not None
    assert {name: attributes[name] for name in attributes if name != "time"} == {
        "specversion": "1.0",
        "id": event.id,
        "source": "/kinora/test",
        "type": "dev.kinora.video.started.v1",
        "subject": "video_1",
        "datacontenttype": "application/json",
        "account": "acme",
    }
    expected = started(key).model_dump(mode="json", exclude_none=True)
    expected["request"]["prompt"] = "ein roter Kreis €"
    assert read.get_data() == expected
