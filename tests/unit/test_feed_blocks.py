"""What publishers write into the streams can neither break nor forge the events of a feed."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from functions.shared.api.parameters import EVENT_ID
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.video.events import EventName
from functions.status.feeds.blocks import BELIEVED
from functions.status.feeds.client import FeedClient
from functions.status.feeds.opening import Feeds
from tests.fakes import MemoryBus
from tests.unit.events import put_request, request_payload

KEY = VideoKey("acme", "v1")
LAST = VideoKey("acme", "last")
SUBJECTS = {REQUESTS: KEY.request_subject, VIDEOS: KEY.event_subject("started")}
FORGED = "x\n\nid: 9-9\nevent: dev.kinora.video.deleted.v1\ndata: {}\n\n"
TYPES = [*(name.type for name in EventName), FORGED, "reset", "x\ry"]

_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_json = st.recursive(_leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
_types = st.sampled_from(TYPES) | st.text()
_structured: st.SearchStrategy[tuple[dict[str, str], bytes]] = st.builds(
    lambda kind, data, more: ({}, request_payload(**{**more, "type": kind, "data": data})),
    _types,
    _json,
    st.dictionaries(st.text(), _json, max_size=3),
)
_binary = st.builds(
    lambda kind, source, data: (
        {
            "ce-specversion": "1.0",
            "ce-id": quote(source) or "1",
            "ce-source": source or "/x",
            "ce-type": kind,
        },
        json.dumps(data).encode(),
    ),
    _types.map(lambda text: quote(text, errors="replace")),
    st.text(st.characters(codec="utf-8"), max_size=20),
    _json,
)
_anything = st.tuples(st.dictionaries(st.text(), st.text(), max_size=3), st.binary())


def _events(stream: str, headers: dict[str, str], payload: bytes) -> list[dict[str, str]]:
    """The fields of every event that a feed sends for one message, as a client parses them."""
    bus = MemoryBus()
    bus.inject(SUBJECTS[stream], payload, headers)
    if stream == REQUESTS:
        put_request(bus, LAST)
    else:
        last = request_payload({}, type=EventName.DELETED.type)
        bus.inject(LAST.event_subject("deleted"), last)
    with contextlib.closing(
        Feeds(bus, max_open=1, max_of_account=1).open(
            "acme", None, "0-0", FeedClient({}), may_read=lambda: True
        )
    ) as feed:
        sent = iter(feed)
        text = ""
        while '"subject": "last"' not in text:
            text += next(sent).decode()
    # The line ends of the HTML standard, section 9.2.5.
    lines = re.split(r"\r\n|\n|\r", text)
    first, *blocks = [list(block) for full, block in itertools.groupby(lines, key=bool) if full]
    assert first == [": position 0-0"]
    assert [len(block) for block in blocks] == [3] * len(blocks)
    return [dict(line.split(": ", 1) for line in block) for block in blocks[:-1]]


def _strictly(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("stream", [REQUESTS, VIDEOS])
@given(sent=_structured | _binary | _anything)
@example(sent=({}, request_payload({}, type=FORGED)))
@example(sent=({}, request_payload({"prompt": float("nan")}, type=EventName.STARTED.type)))
@example(sent=({}, request_payload({"prompt": float("nan")})))
def test_no_message_breaks_a_feed(stream: str, sent: tuple[dict[str, str], bytes]) -> None:
    """Each is at most one event: an id of the feed, a known type, and the CloudEvent in JSON."""
    events = _events(stream, *sent)
    assert len(events) <= 1
    for fields in events:
        assert fields.keys() == {"id", "event", "data"}
        assert re.fullmatch(EVENT_ID, fields["id"])
        assert fields["event"] in BELIEVED[stream]
        event = _strictly(fields["data"])
        assert (event["type"], event["subject"], event["account"]) == (
            fields["event"],
            KEY.video_id,
            KEY.account,
        )


@pytest.mark.parametrize("name", EventName)
def test_of_the_requests_only_requested_is_told(name: EventName) -> None:
    """A publisher of requests can't make a running video look deleted or failed."""
    payload = request_payload({"prompt": "a red circle"}, type=name.type)
    requested = name is EventName.REQUESTED
    told = [fields["event"] for fields in _events(REQUESTS, {}, payload)]
    assert told == ([name.type] if requested else [])
    told = [fields["event"] for fields in _events(VIDEOS, {}, payload)]
    assert told == ([] if requested else [name.type])
