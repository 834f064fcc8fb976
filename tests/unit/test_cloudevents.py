"""Reading and writing CloudEvents, subjects and timestamps: every mode and every mistake."""

from __future__ import annotations

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


@pytest.mark.parametrize("prefix", ["ce-", "Ce-", "CE-"])
def test_binary_mode_is_read_in_any_case(prefix: str) -> None:
    """NATS keeps the case of header names, so any case is accepted."""
    headers = {prefix + name: value for name, value in ATTRIBUTES.items()}
    assert read_nats(headers, b'{"prompt": "x"}').data == {"prompt": "x"}


@pytest.mark.parametrize(
    ("headers", "payload", "param"),
    [
        ({}, b"", "data"),
        ({}, b"\xff\xfe", "data"),
        ({}, b"garbage", "data"),
        ({}, b"[" * 100_000, "data"),
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
        ({}, request_payload(None, data_base64="e30="), "data"),
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
