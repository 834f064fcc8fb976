"""The event stream: all events of an account's videos, and no others."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from functions.shared.errors import InvalidRequest, Unavailable
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName
from functions.status.feed import Feeds
from tests.fakes import MemoryBus
from tests.unit.events import completed, publish, put_request, started


@pytest.fixture
def feeds(bus: MemoryBus) -> Feeds:
    """At most two feeds at a time."""
    return Feeds(bus, max_open=2)


def _open(feeds: Feeds, *, video_id: str | None = None, last: str | None = None) -> Iterator[str]:
    feed = iter(feeds.open("acme", video_id, last))
    assert next(feed).startswith(": position ")
    return feed


def _next(feed: Iterator[str]) -> tuple[str, str, dict[str, object]]:
    fields = dict(line.split(": ", 1) for line in next(feed).strip().split("\n"))
    return fields["id"], fields["event"], json.loads(fields["data"])


def _make(bus: MemoryBus, ledger: Ledger, key: VideoKey) -> None:
    put_request(bus, key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, state, EventName.COMPLETED, completed(started(key)))


def _advance_to_live(feed: Iterator[str], bus: MemoryBus) -> None:
    """Run the generator to the point where it follows the streams."""
    put_request(bus, VideoKey("acme", "first"))
    _next(feed)


def test_a_feed_starts_with_the_next_event(
    feeds: Feeds, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """Each event once, as a CloudEvent, with an id to resume from; no past events."""
    _make(bus, ledger, VideoKey("acme", "past"))
    feed = _open(feeds)
    _advance_to_live(feed, bus)
    _make(bus, ledger, key)
    received = [_next(feed) for _ in range(3)]
    assert [event.split(".")[3] for _, event, _ in received] == [
        "requested",
        "started",
        "completed",
    ]
    assert [position for position, _, _ in received] == ["3-2", "3-3", "3-4"]
    for _, event, document in received:
        assert (document["type"], document["subject"]) == (event, key.video_id)
        assert document["specversion"] == "1.0"


def test_a_feed_resumes_where_it_was(
    feeds: Feeds, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """Nothing is repeated, and every terminal event that was missed is sent."""
    _make(bus, ledger, VideoKey("acme", "seen"))
    position = f"{bus.last_seq('REQUESTS')}-{bus.last_seq('VIDEOS')}"
    _make(bus, ledger, key)
    feed = _open(feeds, last=position)
    received = [_next(feed)[1:] for _ in range(3)]
    assert {document["subject"] for _, document in received} == {key.video_id}
    assert received[-1][0] == EventName.COMPLETED.type


def test_a_feed_can_be_limited_to_one_video(
    feeds: Feeds, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """With `video_id`, events of other videos are not sent."""
    feed = _open(feeds, video_id=key.video_id, last="0-0")
    _make(bus, ledger, VideoKey("acme", "noise"))
    _make(bus, ledger, key)
    assert [_next(feed)[2]["subject"] for _ in range(3)] == [key.video_id] * 3


def test_an_id_that_the_streams_have_not_reached_is_answered_with_a_reset(
    feeds: Feeds, bus: MemoryBus, key: VideoKey
) -> None:
    """The streams were recreated: the client has to read the list, and gets new events."""
    feed = _open(feeds, last="99-99")
    assert _next(feed)[:2] == ("0-0", "reset")
    put_request(bus, key)
    assert _next(feed)[1] == EventName.REQUESTED.type


def test_a_feed_ends_with_a_reset_when_the_streams_are_recreated(
    feeds: Feeds, bus: MemoryBus, key: VideoKey
) -> None:
    """The client reconnects with the id of the reset, and gets all events of the new streams."""
    feed = _open(feeds)
    _advance_to_live(feed, bus)
    bus.lose_all_data()
    put_request(bus, key)
    assert _next(feed)[:2] == ("0-0", "reset")
    assert list(feed) == []
    again = _open(feeds, last="0-0")
    assert _next(again)[2]["subject"] == key.video_id


def test_the_first_block_is_a_comment_with_the_position(feeds: Feeds, bus: MemoryBus) -> None:
    """No field: clients that parse the data of each block find none that lacks it."""
    put_request(bus, VideoKey("acme", "past"))
    for last in (None, ""):
        with contextlib.closing(feeds.open("acme", None, last)) as feed:
            assert next(iter(feed)) == ": position 1-0\n\n"
    with contextlib.closing(feeds.open("acme", None, "0-0")) as feed:
        assert next(iter(feed)) == ": position 0-0\n\n"


def test_an_empty_last_event_id_is_none(feeds: Feeds, bus: MemoryBus) -> None:
    """The feed starts with the next event."""
    put_request(bus, VideoKey("acme", "past"))
    feed = _open(feeds, last="")
    put_request(bus, VideoKey("acme", "next"))
    assert _next(feed)[2]["subject"] == "next"


@pytest.mark.parametrize("last", ["x", "1", "1-", "-1-2", "1-2-3", "1-x", "9" * 30 + "-1"])
def test_an_invalid_last_event_id_is_refused(feeds: Feeds, last: str) -> None:
    """It would otherwise look like a feed without events."""
    with pytest.raises(InvalidRequest):
        feeds.open("acme", None, last)


@pytest.mark.parametrize("video_id", ["*", ">", "a.b", ""])
def test_an_odd_id_opens_no_feed(feeds: Feeds, video_id: str) -> None:
    """It must not become a wildcard."""
    with pytest.raises(InvalidRequest):
        feeds.open("acme", video_id, None)


def test_open_feeds_are_limited_and_closing_one_frees_its_slot(
    feeds: Feeds, bus: MemoryBus
) -> None:
    """Each holds a thread; a feed that was never read can be closed too."""
    read, unread = feeds.open("acme", None, None), feeds.open("acme", None, None)
    lines = iter(read)
    next(lines)
    _advance_to_live(lines, bus)
    with pytest.raises(Unavailable):
        feeds.open("acme", None, None)
    for feed in (read, unread):
        feed.close()
        feed.close()
        feeds.open("acme", None, None)
    with pytest.raises(Unavailable):
        feeds.open("acme", None, None)


def test_garbage_is_not_sent(feeds: Feeds, bus: MemoryBus, key: VideoKey) -> None:
    """It is not a CloudEvent; the failure that it causes is sent."""
    feed = _open(feeds)
    _advance_to_live(feed, bus)
    bus.inject(key.request_subject, b"garbage")
    put_request(bus, VideoKey("acme", "next"))
    assert _next(feed)[2]["subject"] == "next"
