"""The event stream: all events of an account's videos, and no others."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator

import pytest

from functions.shared.errors import InvalidRequest, TooManyStreams, Unavailable
from functions.shared.streams.bus import Message
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName
from functions.status.feeds import feed as feed_module
from functions.status.feeds import tail
from functions.status.feeds.blocks import KEEP_ALIVE, REVOKED, event_fields
from functions.status.feeds.client import FeedClient
from functions.status.feeds.feed import Feed
from functions.status.feeds.history import PORTION_BYTES
from functions.status.feeds.opening import Feeds
from tests.fakes import MemoryBus
from tests.unit.events import completed, publish, put_request, started


@pytest.fixture
def feeds(bus: MemoryBus) -> Feeds:
    """At most two feeds at a time."""
    return Feeds(bus, max_open=2, max_of_account=2)


def _feed(feeds: Feeds, *, video_id: str | None = None, last: str | None = None) -> Feed:
    """A feed of a client that always reads."""
    return feeds.open("acme", video_id, last, FeedClient({}), may_read=lambda: True)


def _open(feeds: Feeds, *, video_id: str | None = None, last: str | None = None) -> Iterator[bytes]:
    blocks = _blocks(_feed(feeds, video_id=video_id, last=last))
    assert next(blocks).startswith(b": position ")
    return blocks


def _blocks(feed: Feed) -> Iterator[bytes]:
    for text in feed:
        yield from (block + b"\n\n" for block in text.split(b"\n\n")[:-1])


def _next(feed: Iterator[bytes]) -> tuple[str, str, dict[str, object]]:
    fields = dict(line.split(": ", 1) for line in next(feed).decode().strip().split("\n"))
    return fields["id"], fields["event"], json.loads(fields["data"])


def _make(bus: MemoryBus, ledger: Ledger, key: VideoKey) -> None:
    put_request(bus, key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, state, EventName.COMPLETED, completed(started(key)))


def _advance_to_live(feed: Iterator[bytes], bus: MemoryBus) -> None:
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
        with contextlib.closing(_feed(feeds, last=last)) as feed:
            assert next(iter(feed)) == b": position 1-0\n\n"
    with contextlib.closing(_feed(feeds, last="0-0")) as feed:
        assert next(iter(feed)) == b": position 0-0\n\n"


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
        _feed(feeds, last=last)


@pytest.mark.parametrize("video_id", ["*", ">", "a.b", ""])
def test_an_odd_id_opens_no_feed(feeds: Feeds, video_id: str) -> None:
    """It must not become a wildcard."""
    with pytest.raises(InvalidRequest):
        _feed(feeds, video_id=video_id)


def test_open_feeds_are_limited_and_closing_one_frees_its_slot(
    feeds: Feeds, bus: MemoryBus
) -> None:
    """Each holds a thread; a feed that was never read can be closed too."""
    read, unread = _feed(feeds), _feed(feeds)
    lines = iter(read)
    next(lines)
    _advance_to_live(lines, bus)
    with pytest.raises(Unavailable):
        _feed(feeds)
    for feed in (read, unread):
        feed.close()
        feed.close()
        _feed(feeds)
    with pytest.raises(Unavailable):
        _feed(feeds)


def test_one_account_leaves_feeds_for_others(bus: MemoryBus) -> None:
    """Beyond its own limit it gets 429, while another account still gets a feed."""
    feeds = Feeds(bus, max_open=3, max_of_account=2)
    first = _feed(feeds)
    _feed(feeds)
    with pytest.raises(TooManyStreams):
        _feed(feeds)
    feeds.open("other", None, None, FeedClient({}), may_read=lambda: True)
    first.close()
    _feed(feeds)


def test_a_feed_that_is_refused_asks_nothing_of_nats(bus: MemoryBus) -> None:
    """So that many of them cost next to nothing. One that can't be opened takes no place."""
    feeds = Feeds(bus, max_open=3, max_of_account=1)
    bus.unavailable = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            _feed(feeds)
    bus.unavailable = False
    _feed(feeds)
    bus.unavailable = True
    with pytest.raises(TooManyStreams):
        _feed(feeds)


@pytest.mark.parametrize("replay", [False, True])
def test_a_feed_ends_when_its_key_no_longer_works(
    bus: MemoryBus, key: VideoKey, replay: bool
) -> None:
    """With a comment that says so, and without anything that it had not sent yet.

    It may be waiting for an event, or be reading old ones. Feeds of other keys go on. It is
    counted.
    """
    dropped: list[str] = []
    feeds = Feeds(bus, max_open=2, max_of_account=2, on_drop=dropped.append)
    for n in range(100):
        put_request(bus, VideoKey("acme", f"v{n}"), prompt="x" * 4000)
    keys = {"its", "another"}
    last = "0-0" if replay else None
    its = feeds.open("acme", None, last, FeedClient({}), may_read=lambda: "its" in keys)
    other = feeds.open("acme", None, None, FeedClient({}), may_read=lambda: "another" in keys)
    sent, others = iter(its), _blocks(other)
    assert next(sent).startswith(b": position ")
    assert next(others).startswith(b": position ")
    if replay:
        next(sent)
    feeds.check_keys()
    keys.remove("its")
    timer = threading.Timer(0.0 if replay else 0.2, feeds.check_keys)
    timer.start()
    if replay:
        timer.join()
    assert [*sent] == [REVOKED]
    assert dropped == ["revoked"]
    its.close()
    put_request(bus, key)
    assert _next(others)[2]["subject"] == key.video_id


def test_a_reader_that_is_far_behind_is_told_everything(bus: MemoryBus, ledger: Ledger) -> None:
    """From the streams, once the shared tail no longer has it; nothing is lost or repeated."""
    feeds = Feeds(bus, max_open=2, max_of_account=2, tail_bytes=50_000)
    feed = _open(feeds)
    _advance_to_live(feed, bus)
    names = [f"v{n}" for n in range(100)]
    for name in names:
        _make(bus, ledger, VideoKey("acme", name))
        _make(bus, ledger, VideoKey("other", name))
    received = [_next(feed) for _ in range(3 * len(names))]
    for n, name in enumerate(names):
        three = received[3 * n : 3 * n + 3]
        assert [document["subject"] for _, _, document in three] == [name] * 3
        assert [event.split(".")[3] for _, event, _ in three] == [
            "requested",
            "started",
            "completed",
        ]
    _make(bus, ledger, VideoKey("acme", "next"))
    assert _next(feed)[2]["subject"] == "next"


def test_a_replay_reads_no_more_than_its_client(
    bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Portions come when they are needed, however much there is."""
    for n in range(100):
        put_request(bus, VideoKey("acme", f"v{n}"), prompt="x" * 4000)
    read: list[Message] = []
    read_after = bus.read_after

    def record(stream: str, subject: str, after: int, *, max_bytes: int) -> list[Message]:
        portion = read_after(stream, subject, after, max_bytes=max_bytes)
        read.extend(portion)
        return portion

    monkeypatch.setattr(bus, "read_after", record)
    feed = _open(Feeds(bus, max_open=1, max_of_account=1), last="0-0")
    for n in range(100):
        assert _next(feed)[2]["subject"] == f"v{n}"
        assert len(read) - n <= 2 * PORTION_BYTES / 4000


def test_a_replay_goes_on_after_an_outage(bus: MemoryBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep-alives until NATS answers again, then what is left."""
    monkeypatch.setattr(feed_module, "RETRY_SECONDS", 0.01)
    for n in range(100):
        put_request(bus, VideoKey("acme", f"v{n}"), prompt="x" * 4000)
    feed = _open(Feeds(bus, max_open=1, max_of_account=1), last="0-0")
    assert _next(feed)[2]["subject"] == "v0"
    bus.unavailable = True
    told = 1
    while (block := next(feed)) != KEEP_ALIVE:
        assert f'"subject": "v{told}"'.encode() in block
        told += 1
    bus.unavailable = False
    for n in range(told, 100):
        assert _next(feed)[2]["subject"] == f"v{n}"


def test_an_event_is_rendered_once_for_all_clients(
    feeds: Feeds, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is also in memory once."""
    both = [_open(feeds), _open(feeds)]
    rendered: list[Message] = []

    def count(stream: str, message: Message) -> bytes:
        rendered.append(message)
        return event_fields(stream, message)

    monkeypatch.setattr(tail, "event_fields", count)
    put_request(bus, VideoKey("acme", "v1"))
    assert _next(both[0]) == _next(both[1])
    assert len(rendered) == 1


def test_garbage_is_not_sent(feeds: Feeds, bus: MemoryBus, key: VideoKey) -> None:
    """It is not a CloudEvent; the failure that it causes is sent."""
    feed = _open(feeds)
    _advance_to_live(feed, bus)
    bus.inject(key.request_subject, b"garbage")
    put_request(bus, VideoKey("acme", "next"))
    assert _next(feed)[2]["subject"] == "next"
