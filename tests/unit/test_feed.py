"""The event stream: everything that happens to an account's videos, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from functions.shared.errors import InvalidRequest, Unavailable
from functions.shared.streams.ledger import Ledger, Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName
from functions.status.feed import Feeds
from tests.fakes import MemoryBus
from tests.unit.events import completed, publish, put_request, started


@pytest.fixture
def feeds(bus: MemoryBus) -> Feeds:
    """At most two at a time."""
    return Feeds(bus, most=2)


def _open(feeds: Feeds, *, video_id: str | None = None, last: str | None = None) -> Iterator[str]:
    feed = iter(feeds.open("acme", video_id, last))
    assert next(feed).startswith(": kinora\nid: ")
    return feed


def _next(feed: Iterator[str]) -> tuple[str, str, dict[str, object]]:
    fields = dict(line.split(": ", 1) for line in next(feed).strip().split("\n"))
    return fields["id"], fields["event"], json.loads(fields["data"])


def _make(bus: MemoryBus, ledger: Ledger, key: VideoKey) -> None:
    put_request(bus, key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, state, EventName.COMPLETED, completed(started(key)))


def _begin(feed: Iterator[str], bus: MemoryBus) -> None:
    """A generator runs when it is read: bring it to the point where it listens."""
    put_request(bus, VideoKey("acme", "first"))
    _next(feed)


def test_a_feed_begins_with_what_happens_next(
    feeds: Feeds, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """Every event once, as a CloudEvent, with an id to resume from; nothing of the past."""
    _make(bus, ledger, VideoKey("acme", "past"))
    feed = _open(feeds)
    _begin(feed, bus)
    _make(bus, ledger, key)
    told = [_next(feed) for _ in range(3)]
    assert [event.split(".")[3] for _, event, _ in told] == ["requested", "started", "completed"]
    assert [place for place, _, _ in told] == ["3-2", "3-3", "3-4"]
    for _, event, document in told:
        assert (document["type"], document["subject"]) == (event, key.video_id)
        assert document["specversion"] == "1.0"


def test_a_feed_resumes_where_it_was(
    feeds: Feeds, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """What was told is not told again, and of what was missed every final state is."""
    _make(bus, ledger, VideoKey("acme", "seen"))
    place = f"{bus.last_seq('REQUESTS')}-{bus.last_seq('VIDEOS')}"
    _make(bus, ledger, key)
    feed = _open(feeds, last=place)
    told = [_next(feed)[1:] for _ in range(3)]
    assert {document["subject"] for _, document in told} == {key.video_id}
    assert told[-1][0] == EventName.COMPLETED.type


def test_one_video_can_be_watched_alone(
    feeds: Feeds, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """With `video_id`, what happens to others is not told."""
    feed = _open(feeds, video_id=key.video_id, last="0-0")
    _make(bus, ledger, VideoKey("acme", "noise"))
    _make(bus, ledger, key)
    assert [_next(feed)[2]["subject"] for _ in range(3)] == [key.video_id] * 3


def test_a_place_that_the_streams_have_not_reached_is_a_reset(
    feeds: Feeds, bus: MemoryBus, key: VideoKey
) -> None:
    """They were begun anew: the caller is told to read the list, and hears what comes."""
    feed = _open(feeds, last="99-99")
    assert _next(feed)[:2] == ("0-0", "reset")
    put_request(bus, key)
    assert _next(feed)[1] == EventName.REQUESTED.type


def test_a_feed_ends_with_a_reset_when_the_streams_are_recreated(
    feeds: Feeds, bus: MemoryBus, key: VideoKey
) -> None:
    """The caller comes back with its id, and hears all that is in the new streams."""
    feed = _open(feeds)
    _begin(feed, bus)
    bus.lose_all_data()
    put_request(bus, key)
    assert _next(feed)[:2] == ("0-0", "reset")
    assert list(feed) == []
    again = _open(feeds, last="0-0")
    assert _next(again)[2]["subject"] == key.video_id


@pytest.mark.parametrize("last", ["", "x", "1", "1-", "-1-2", "1-2-3", "1-x", "9" * 30 + "-1"])
def test_a_made_up_place_is_refused(feeds: Feeds, last: str) -> None:
    """It would otherwise look like a feed in which nothing happens."""
    with pytest.raises(InvalidRequest):
        feeds.open("acme", None, last)


@pytest.mark.parametrize("video_id", ["*", ">", "a.b", ""])
def test_an_odd_id_opens_no_feed(feeds: Feeds, video_id: str) -> None:
    """It must not become a wildcard."""
    with pytest.raises(InvalidRequest):
        feeds.open("acme", video_id, None)


def test_feeds_are_limited_and_a_closed_one_makes_room(feeds: Feeds, bus: MemoryBus) -> None:
    """Each holds a thread; one that was never read is closed like any other."""
    read, unread = feeds.open("acme", None, None), feeds.open("acme", None, None)
    lines = iter(read)
    next(lines)
    _begin(lines, bus)
    with pytest.raises(Unavailable):
        feeds.open("acme", None, None)
    for feed in (read, unread):
        feed.close()
        feed.close()
        feeds.open("acme", None, None)
    with pytest.raises(Unavailable):
        feeds.open("acme", None, None)


def test_garbage_is_not_told(feeds: Feeds, bus: MemoryBus, key: VideoKey) -> None:
    """It is no CloudEvent; that it failed is told, by whoever finds out."""
    feed = _open(feeds)
    _begin(feed, bus)
    bus.inject(key.request_subject, b"garbage")
    put_request(bus, VideoKey("acme", "next"))
    assert _next(feed)[2]["subject"] == "next"
