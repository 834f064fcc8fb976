"""What the protocol relies on, for a real server and for the fake."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import pytest

from functions.shared.errors import QueueFull, SequenceConflict, TooLarge, Unavailable
from functions.shared.streams import follower
from functions.shared.streams.bus import Bus, Delivery
from functions.shared.streams.jetstream import JetStream
from functions.shared.subjects import (
    ALL_REQUESTS,
    ALL_TURNS,
    REQUESTS,
    TURNS,
    VIDEOS,
    VideoKey,
)
from tests.fakes import MemoryBus
from tests.harness import RunningStack
from tests.patience import scaled, wait_until

# That of a stack with two replicas.
MAX_IN_FLIGHT = 2


@pytest.fixture(params=["memory", "jetstream"])
def bus(request: pytest.FixtureRequest) -> Bus:
    """Both implementations."""
    if request.param == "memory":
        return MemoryBus(max_in_flight=MAX_IN_FLIGHT)
    real: Bus = request.getfixturevalue("jetstream")
    return real


@pytest.fixture
def key() -> VideoKey:
    """The key of a new video."""
    return VideoKey("acme", f"v-{uuid.uuid4().hex[:12]}")


def test_messages_are_read_as_they_were_published(bus: Bus, key: VideoKey) -> None:
    """A message keeps its subject, payload and headers, and gets a sequence and a time."""
    before = bus.now()
    seq = bus.publish(key.event_subject("started"), b"x\x00\xff", expected=0, headers={"a": "b"})
    for message in (
        bus.get_last_message(VIDEOS, key.events_filter, leader=True),
        bus.get_last_message(VIDEOS, key.events_filter, leader=False),
        bus.get_message(VIDEOS, seq),
    ):
        assert message is not None
        assert (message.subject, message.data) == (key.event_subject("started"), b"x\x00\xff")
        assert (message.seq, message.headers["a"]) == (seq, "b")
        assert before <= message.time <= bus.now()


def test_missing_messages_are_none(bus: Bus, key: VideoKey) -> None:
    """An unknown subject or sequence gives None, and not an error."""
    assert bus.get_last_message(VIDEOS, key.events_filter, leader=True) is None
    assert bus.get_last_message(VIDEOS, key.events_filter, leader=False) is None
    assert bus.get_message(VIDEOS, 1 << 40) is None


def test_a_publish_wins_only_on_the_sequence_that_it_expects(bus: Bus, key: VideoKey) -> None:
    """Compare-and-set on all events of a video refuses the second of two rivals."""
    first = bus.publish(
        key.event_subject("started"), b"1", expected=0, expected_filter=key.events_filter
    )
    with pytest.raises(SequenceConflict):
        bus.publish(
            key.event_subject("cancelled"), b"2", expected=0, expected_filter=key.events_filter
        )
    bus.publish(
        key.event_subject("completed"), b"3", expected=first, expected_filter=key.events_filter
    )
    newest = bus.get_last_message(VIDEOS, key.events_filter, leader=True)
    assert newest is not None
    assert newest.data == b"3"


def test_a_request_is_published_once(bus: Bus, key: VideoKey) -> None:
    """Expecting the sequence 0 on its subject refuses a second request."""
    bus.publish(key.request_subject, b"1", expected=0)
    with pytest.raises(SequenceConflict):
        bus.publish(key.request_subject, b"2", expected=0)


def test_a_purge_below_a_sequence_keeps_the_tombstone(bus: Bus, key: VideoKey) -> None:
    """Deleting removes all older events, and the tombstone stays the last one."""
    first = bus.publish(
        key.event_subject("completed"), b"1", expected=0, expected_filter=key.events_filter
    )
    last = bus.publish(
        key.event_subject("deleted"), b"", expected=first, expected_filter=key.events_filter
    )
    bus.purge(VIDEOS, key.events_filter, below=last)
    assert bus.get_message(VIDEOS, first) is None
    newest = bus.get_last_message(VIDEOS, key.events_filter, leader=True)
    assert newest is not None
    assert newest.seq == last


def test_subjects_lists_what_has_messages(bus: Bus, key: VideoKey) -> None:
    """The sweeper finds all events of a video by their subjects."""
    seq = bus.publish(
        key.event_subject("started"), b"", expected=0, expected_filter=key.events_filter
    )
    bus.publish(key.event_subject("failed"), b"", expected=seq, expected_filter=key.events_filter)
    assert sorted(bus.list_subjects(VIDEOS, key.events_filter)) == [
        key.event_subject("failed"),
        key.event_subject("started"),
    ]


def test_a_message_that_is_too_large_is_refused_and_the_connection_stays(
    bus: Bus, key: VideoKey
) -> None:
    """Checked before sending, because the server would close the connection for good."""
    with pytest.raises(TooLarge):
        bus.publish(key.request_subject, b"x" * (1 << 20) + b"x" * 100, expected=0)
    bus.publish(key.request_subject, b"x", expected=0)


def test_a_watch_reports_publishes_until_it_is_stopped(bus: Bus, key: VideoKey) -> None:
    """Each hint has the subject; none comes once the watch was stopped."""
    subjects: list[str] = []
    reported = threading.Event()

    def record(subject: str) -> None:
        subjects.append(subject)
        reported.set()

    stop = bus.watch(key.events_filter, record)
    seq = bus.publish(
        key.event_subject("started"), b"", expected=0, expected_filter=key.events_filter
    )
    assert reported.wait(scaled(10))
    stop()
    bus.publish(
        key.event_subject("cancelled"), b"", expected=seq, expected_filter=key.events_filter
    )
    assert subjects == [key.event_subject("started")]


def test_following_replays_and_then_delivers_new_messages(bus: Bus, key: VideoKey) -> None:
    """First the stored messages, then `on_caught_up`, then new messages."""
    bus.publish(key.event_subject("started"), b"old", expected=0)
    seen: list[bytes] = []
    caught_up = threading.Event()
    bus.follow(
        VIDEOS,
        lambda m: seen.append(m.data) if m.subject.startswith(key.events_filter[:-1]) else None,
        caught_up.set,
        lambda: None,
    )
    assert caught_up.wait(scaled(10))
    assert seen == [b"old"]
    bus.publish(key.event_subject("completed"), b"new", expected=0)
    wait_until(lambda: seen == [b"old", b"new"], seconds=5, what="the new event was followed")


def test_a_stream_is_read_in_bounded_portions(bus: Bus) -> None:
    """Every message of the filter once and in order, until none is left."""
    account = f"a-{uuid.uuid4().hex[:12]}"
    after = bus.last_seq(VIDEOS)
    sizes = [300, 300, 300, 5000, 300, 300]
    for n, size in enumerate(sizes):
        for owner in (account, f"{account}x"):
            subject = VideoKey(owner, f"v{n}").event_subject("started")
            bus.publish(subject, bytes(size), expected=0)
    names: list[str] = []
    portions = 0
    own = f"kinora.videos.{account}.*.*"
    while messages := bus.read_after(VIDEOS, own, after, max_bytes=1000):
        assert sum(len(message.data) for message in messages[:-1]) < 1000
        names += [message.subject.split(".")[3] for message in messages]
        after = messages[-1].seq
        portions += 1
    assert names == [f"v{n}" for n in range(len(sizes))]
    assert 1 < portions < len(sizes)
    assert bus.read_after(VIDEOS, own, 10**12, max_bytes=1000) == []


def test_a_portion_is_empty_only_if_the_leader_has_no_message(key: VideoKey) -> None:
    """A replica that lags behind may have none yet."""
    bus = MemoryBus()
    bus.lag()
    bus.publish(key.request_subject, b"", expected=0)
    bus.publish(key.request_subject, b"", expected=1)
    messages = bus.read_after(REQUESTS, key.request_subject, 0, max_bytes=1000)
    assert [message.seq for message in messages] == [2]


def _take(bus: Bus, key: VideoKey) -> Delivery:
    source = bus.turn_source()
    while True:
        delivery = source.fetch(2)
        assert delivery is not None, "no delivery"
        if delivery.message.subject == key.turn_subject:
            return delivery
        delivery.ack()


def _give(bus: Bus, key: VideoKey) -> int:
    return bus.publish(key.turn_subject, b"1", expected=0)


def test_a_turn_is_redelivered_until_it_is_acknowledged(bus: Bus, key: VideoKey) -> None:
    """A nak causes a redelivery; an ack prevents one, and removes the turn."""
    _give(bus, key)
    first = _take(bus, key)
    assert bus.list_subjects(TURNS, key.turn_subject) == [key.turn_subject]
    first.in_progress()
    first.nak(0.1)
    second = _take(bus, key)
    assert second.message.seq == first.message.seq
    second.ack()
    assert bus.turn_source().fetch(0.3) is None
    assert bus.list_subjects(TURNS, key.turn_subject) == []


def test_the_stream_refuses_a_turn_too_many_and_a_second_one(bus: Bus, key: VideoKey) -> None:
    """Whoever publishes it. What is acknowledged makes room, also for the same video."""
    *keys, late = [VideoKey(key.account, f"{key.video_id}-{n}") for n in range(MAX_IN_FLIGHT + 1)]
    for each in keys:
        _give(bus, each)
        with pytest.raises((SequenceConflict, QueueFull)):
            _give(bus, each)
    with pytest.raises(QueueFull):
        _give(bus, late)
    _take(bus, keys[0]).ack()
    _give(bus, late)
    _take(bus, keys[1]).term("no use")
    wait_until(
        lambda: not bus.list_subjects(TURNS, keys[1].turn_subject), seconds=10, what="it is gone"
    )
    _give(bus, keys[1])
    bus.purge(TURNS, ALL_TURNS)


def test_what_follows_a_message_is_counted_by_account(bus: Bus, key: VideoKey) -> None:
    """Without purged requests, or those of accounts with similar names."""
    keys = [VideoKey(key.account + "w", f"{key.video_id}{n}") for n in range(3)]
    other = VideoKey(key.account + "x", key.video_id)
    own, others = (f"kinora.requests.{each.account}.*" for each in (keys[0], other))
    before = bus.last_seq(REQUESTS)
    assert bus.count_after(REQUESTS, others, before) == 0
    seqs = [bus.publish(each.request_subject, b"", expected=0) for each in (*keys, other)]
    assert bus.count_after(REQUESTS, own, before) == 3
    assert bus.count_after(REQUESTS, others, before) == 1
    assert bus.count_after(REQUESTS, ALL_REQUESTS, before) == 4
    bus.purge(REQUESTS, keys[1].request_subject)
    assert bus.count_after(REQUESTS, own, before) == 2
    assert bus.count_after(REQUESTS, own, seqs[0]) == 1
    assert bus.count_after(REQUESTS, own, seqs[2]) == 0


def test_messages_are_counted(bus: Bus, key: VideoKey) -> None:
    """As many as there are, however many there were."""
    before = bus.message_count(VIDEOS)
    for name in ("started", "completed"):
        bus.publish(key.event_subject(name), b"", expected=0)
    assert bus.message_count(VIDEOS) == before + 2
    bus.purge(VIDEOS, key.events_filter)
    assert bus.message_count(VIDEOS) == before


def test_a_terminated_turn_is_not_redelivered(bus: Bus, key: VideoKey) -> None:
    """A poison turn is settled, and gone."""
    _give(bus, key)
    _take(bus, key).term("no use")
    assert bus.turn_source().fetch(0.3) is None
    assert bus.get_last_message(TURNS, key.turn_subject, leader=True) is None


def test_an_unreachable_server_is_an_error_and_not_a_hang(key: VideoKey) -> None:
    """Without a server every call fails within seconds, and leaks no thread."""
    bus = JetStream("nats://127.0.0.1:9")
    before = threading.active_count()
    for _ in range(2):
        with pytest.raises(Unavailable):
            bus.get_last_message(VIDEOS, key.events_filter, leader=True)
    assert bus.connected_for() == 0
    assert threading.active_count() <= before + 1
    bus.close()


def test_the_connection_is_restored_after_an_outage(
    tmp_path_factory: pytest.TempPathFactory, key: VideoKey
) -> None:
    """After a restart of the server everything works again, and the outage was visible."""
    stack = RunningStack(tmp_path_factory.mktemp("restart"))
    stack.start_servers()
    bus = JetStream(stack.nats_url)
    try:
        bus.publish(key.event_subject("started"), b"kept", expected=0)
        seen = threading.Event()
        recreated = threading.Event()
        bus.follow(
            VIDEOS,
            lambda m: seen.set() if m.data == b"later" else None,
            lambda: None,
            recreated.set,
        )
        stack.kill("nats")
        wait_until(lambda: bus.connected_for() == 0, seconds=5, what="the outage was noticed")
        with pytest.raises(Unavailable):
            bus.get_last_message(VIDEOS, key.events_filter, leader=True)
        stack.start("nats")
        wait_until(lambda: bus.connected_for() > 0, seconds=10, what="the connection came back")
        newest = bus.get_last_message(VIDEOS, key.events_filter, leader=True)
        assert newest is not None
        assert newest.data == b"kept"
        bus.publish(key.event_subject("failed"), b"later", expected=0)
        assert seen.wait(scaled(15)), "the follower resumes"
        assert not recreated.is_set(), "it is the same stream"
    finally:
        bus.close()
        stack.close()


def test_a_follower_learns_that_its_stream_was_recreated(tmp_path: Path, key: VideoKey) -> None:
    """The new stream has other messages under the same sequences."""
    stack = RunningStack(tmp_path)
    stack.start_servers()
    bus = JetStream(stack.nats_url)
    try:
        bus.publish(key.event_subject("started"), b"lost", expected=0)
        recreated, caught_up = threading.Event(), threading.Event()
        bus.follow(VIDEOS, lambda _: None, caught_up.set, recreated.set)
        assert caught_up.wait(scaled(10))
        stack.kill("nats")
        stack.remove_data("nats")
        stack.start("nats")
        stack.set_up()
        for _ in range(3):
            other = VideoKey(key.account, uuid.uuid4().hex)
            bus.publish(other.event_subject("started"), b"new", expected=0)
        assert recreated.wait(scaled(20)), "although the new stream is longer than the old one"
    finally:
        bus.close()
        stack.close()


def test_a_follower_catches_up_with_a_purged_stream(jetstream: JetStream, key: VideoKey) -> None:
    """Its last sequence stays, but there is no message to wait for."""
    jetstream.publish(key.request_subject, b"asked for, and then deleted", expected=0)
    jetstream.purge(REQUESTS, key.request_subject)
    caught_up = threading.Event()
    stop = jetstream.follow(REQUESTS, lambda _: None, caught_up.set, lambda: None)
    assert caught_up.wait(scaled(10))
    stop()


def test_a_busy_stream_is_never_taken_for_a_recreated_one(
    jetstream: JetStream, key: VideoKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages that are delivered during a check may be newer than its result."""
    monkeypatch.setattr(follower, "CHECK_INTERVAL_SECONDS", 0.0)
    others = [VideoKey(key.account, uuid.uuid4().hex) for _ in range(500)]
    last, recreated = threading.Event(), threading.Event()
    stop = jetstream.follow(
        VIDEOS,
        lambda m: last.set() if m.subject == others[-1].event_subject("started") else None,
        lambda: None,
        recreated.set,
    )
    for other in others:
        jetstream.publish(other.event_subject("started"), b"", expected=0)
    assert last.wait(scaled(20))
    stop()
    assert not recreated.is_set()
