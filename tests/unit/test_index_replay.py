"""A replay in bulk leads to the same index as the same messages one by one, and reads less."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Message
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.validation import StoredRequest, read_request
from functions.shared.streams.video_events import VideoEvent
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.timestamps import format_rfc3339
from functions.shared.video.events import Deleted, EventName, Failed, Failure, Started
from functions.shared.video.profiles import Profile
from functions.status.index import VideoIndex
from functions.status.listing import bulk, prompt_index
from functions.status.listing.filters import Filters, folded
from functions.status.lost_messages import LostMessages
from functions.status.replay import Replay
from tests.fakes import MemoryBus
from tests.patience import wait_until
from tests.unit.events import (
    completed,
    progressed,
    publish,
    put_request,
    request_payload,
    resolved,
    started,
)
from tests.unit.turns import write_state

PAIRS = {"team": "a", 'say "x"': "\U0001f98a\\", "nul": "a\0b", "Größe": ""}
KINDS = (
    "queued",
    "invalid",
    "started",
    "progressed",
    "completed",
    "binary",
    "failed",
    "refused",
    "deleted",
    "unreadable",
    "unreadable end",
    "hollow end",
)
PROMPTS = ("A red circle", "Straße", "\U0001f98a \uff21", 'so "so"', "zz")


def _event(key: VideoKey, seq: int, name: EventName, data: Any) -> Message:
    payload = VideoEvent.new(key, name, data, source="/test").to_bytes()
    return Message(key.event_subject(name), seq, 10**18 + seq, payload)


def _binary(key: VideoKey, data: Any) -> Message:
    """An event whose attributes are in headers, which other programs may publish."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/test",
        "ce-type": EventName.COMPLETED.type,
        "Content-Type": "application/json",
    }
    payload = data.model_dump_json(exclude_none=True).encode()
    return Message(key.event_subject("completed"), 0, 10**18, payload, headers)


def _events_by_kind(key: VideoKey, begun: Started, prompt: str) -> dict[str, list[Message]]:
    """The events of a video, by what became of it."""
    done = completed(begun, prefix=f"{key.object_prefix}1-x/")
    refused = Failed(
        created_at=begun.created_at, error=Failure(code="x", message="y"), prompt=prompt
    )
    start = _event(key, 0, EventName.STARTED, begun)
    progress = _event(key, 0, EventName.PROGRESSED, progressed(begun))
    end = _event(key, 0, EventName.COMPLETED, done)
    # What lists need of it can be read; the whole can't.
    hollow = {"created_at": begun.created_at, "request": {"prompt": prompt, "metadata": PAIRS}}
    payload = request_payload(hollow, type=EventName.COMPLETED.type)
    return {
        "queued": [],
        "invalid": [],
        "started": [start],
        "progressed": [start, progress],
        "completed": [start, progress, end],
        "binary": [start, _binary(key, done)],
        "failed": [
            start,
            _event(key, 0, EventName.FAILED, refused.model_copy(update={"request": begun.request})),
        ],
        "refused": [_event(key, 0, EventName.FAILED, refused)],
        "deleted": [
            start,
            end,
            _event(key, 0, EventName.DELETED, Deleted(created_at=begun.created_at)),
        ],
        "unreadable": [start, replace(progress, data=b"garbage")],
        "unreadable end": [start, replace(end, data=b"garbage")],
        "hollow end": [start, replace(end, data=payload)],
    }


def _streams() -> tuple[list[Message], list[Message]]:
    """Both streams of videos in every state, and of messages that can't be read."""
    events = [Message("kinora.videos.acme.v*.completed", 0, 1, b"")]
    requests: list[Message] = []
    for n, kind in enumerate(KINDS):
        key, prompt = VideoKey("acme", f"v{n:02d}"), PROMPTS[n % len(PROMPTS)]
        fields = {"prompt": prompt, "metadata": PAIRS}
        payload = b"garbage" if kind == "invalid" else request_payload(fields)
        requests.append(Message(key.request_subject, n + 1, n + 1, payload))
        begun = started(key).model_copy(
            update={"created_at": format_rfc3339(n + 1), "request": resolved(key, **fields)}
        )
        events += _events_by_kind(key, begun, prompt)[kind]
    return [replace(event, seq=seq) for seq, event in enumerate(events, 1)], requests


def _index(profile: Profile) -> VideoIndex:
    return VideoIndex(profile, max_age_days=30)


def _one_by_one(profile: Profile) -> VideoIndex:
    index = _index(profile)
    events, requests = _streams()
    for message in events:
        index.apply_event(message)
    for message in requests:
        index.apply_request(message)
    return index


def _read(index: VideoIndex, filters: Filters, now: int | None = None) -> list[Any]:
    page = index.read_page(
        "acme", after=None, limit=50, newest_first=True, since=0, now=now, filters=filters
    )
    return page.videos


def _filters() -> Iterator[Filters]:
    yield Filters()
    for status in ("queued", "in_progress", "completed", "failed"):
        yield Filters((status,))
    for name, value in PAIRS.items():
        yield Filters(metadata={name: value})
    for text in ("red", "strasse", "\U0001f98a", "a", "zz", "z", '"', '"s', "e\0", "none"):
        yield Filters(text=folded(text))


@pytest.fixture(params=[1, 3, 10_000])
def replayed(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> VideoIndex:
    """An index after a replay of both streams, in batches of some messages."""
    monkeypatch.setattr(bulk, "BATCH_MESSAGES", request.param)
    monkeypatch.setattr(prompt_index, "MAX_UNINDEXED_ROWS", 1)
    index = _index(profile)
    events, requests = _streams()
    index.begin_replay()
    for message in events:
        index.apply_event(message)
    for message in requests:
        index.apply_request(message)
    index.finish_replay()
    return index


def test_a_replay_leads_to_the_same_lists(replayed: VideoIndex, profile: Profile) -> None:
    """Field by field, whatever is filtered by, also by what SQLite's JSON can't read."""
    expected = _one_by_one(profile)
    for filters in _filters():
        assert _readable(replayed, filters) == _readable(expected, filters), filters


def _readable(index: VideoIndex, filters: Filters) -> list[Any]:
    """The videos without the one whose event is found to be unreadable only when it is read."""
    return [video for video in _read(index, filters) if video["id"] != "v11"]


def test_an_end_that_only_looks_readable_is_shown_as_failed(replayed: VideoIndex) -> None:
    """With the error that a read from NATS gives it."""
    (video,) = [video for video in _read(replayed, Filters()) if video["id"] == "v11"]
    assert (video["status"], video["error"]["code"]) == ("failed", "unreadable")


def test_a_replay_leads_to_the_same_forecast(replayed: VideoIndex, profile: Profile) -> None:
    """The places in the queue, and the times that were learnt from completed videos."""
    expected, now = _one_by_one(profile), 10**18 + 10**9
    for n in range(12):
        key = VideoKey("acme", f"v{n:02d}")
        assert replayed.queue_position(key) == expected.queue_position(key)
        assert replayed.eta_seconds(key, now) == expected.eta_seconds(key, now)
    assert replayed.queue_load() == expected.queue_load()


def test_a_replay_counts_the_same_usage(replayed: VideoIndex, profile: Profile) -> None:
    """Of each completed video, whether its event is read as a whole or not."""
    found = replayed.usage.read(None, 10**18)
    assert found == _one_by_one(profile).usage.read(None, 10**18)
    assert [day.videos for day in found] == [3]


def test_after_a_replay_videos_change_as_before_it(replayed: VideoIndex) -> None:
    """Also what was built in one go follows each message."""
    key = VideoKey("acme", "v00")
    replayed.apply_event(_event(key, 100, EventName.STARTED, started(key)))
    tombstone = Deleted(created_at=format_rfc3339(5))
    replayed.apply_event(_event(VideoKey("acme", "v04"), 101, EventName.DELETED, tombstone))
    fields = {"prompt": "a blue sea", "metadata": {"team": "b"}}
    new = VideoKey("acme", "new")
    replayed.apply_request(Message(new.request_subject, 100, 10**9, request_payload(fields)))
    assert "v00" in _ids(replayed, Filters(("in_progress",)))
    assert set(_ids(replayed, Filters(text="a red circle"))) == {"v00", "v05"}
    assert _ids(replayed, Filters(metadata={"team": "b"})) == ["new"]
    assert _ids(replayed, Filters(text="ea")) == ["new"]
    assert "v04" not in _ids(replayed, Filters())


def _ids(index: VideoIndex, filters: Filters) -> list[str]:
    return [video["id"] for video in _read(index, filters)]


def test_what_comes_while_the_table_is_built_is_in_it(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever delivers it does not wait until it is built."""
    index, key = _index(profile), VideoKey("acme", "v1")
    build = bulk.BulkLoad.build

    def slow_build(self: bulk.BulkLoad) -> object:
        deliver = threading.Thread(target=index.apply_request, args=(_request(key, 1),))
        deliver.start()
        deliver.join()
        return build(self)

    monkeypatch.setattr(bulk.BulkLoad, "build", slow_build)
    index.begin_replay()
    index.finish_replay()
    assert _ids(index, Filters()) == ["v1"]
    assert index.queue_position(key) == 1


def _request(key: VideoKey, seq: int) -> Message:
    return Message(key.request_subject, seq, seq, request_payload({"prompt": "x"}))


def _end(bus: MemoryBus, ledger: Ledger, name: str) -> VideoKey:
    """A video that `dispatch` has settled."""
    key = VideoKey("acme", name)
    put_request(bus, key)
    state = _start(bus, ledger, key)
    assert isinstance(state.data, Started)
    done = completed(state.data, prefix=f"{key.object_prefix}1-x/")
    publish(ledger, state, EventName.COMPLETED, done)
    write_state(bus)
    return key


def _start(bus: MemoryBus, ledger: Ledger, key: VideoKey) -> Snapshot:
    """A worker claims a video that was requested."""
    request = bus.get_last_message(REQUESTS, key.request_subject, leader=True)
    assert request is not None
    begun = started(key).model_copy(update={"created_at": format_rfc3339(request.time)})
    return publish(ledger, Snapshot(key), EventName.STARTED, begun)


def _replay(bus: MemoryBus, index: VideoIndex) -> Replay:
    replay = Replay(bus, index, LostMessages(bus, index, max_age_days=30))
    replay.start()
    return replay


def test_requests_of_videos_with_events_are_not_read(
    bus: MemoryBus, ledger: Ledger, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither those that are settled, which are not even delivered, nor that of a running video."""
    _end(bus, ledger, "ended")
    running, queued = VideoKey("acme", "running"), VideoKey("acme", "queued")
    for key in (running, queued):
        put_request(bus, key)
    _start(bus, ledger, running)
    delivered: list[str] = []
    parsed: list[str] = []
    index = _index(profile)
    apply = index.apply_request

    def deliver(message: Message) -> None:
        delivered.append(message.subject)
        apply(message)

    def parse(message: Message, profile: Profile) -> StoredRequest:
        parsed.append(message.subject)
        return read_request(message, profile)

    monkeypatch.setattr(index, "apply_request", deliver)
    monkeypatch.setattr(bulk, "read_request", parse)
    _replay(bus, index).check()
    assert delivered == [running.request_subject, queued.request_subject]
    assert parsed == [queued.request_subject]
    assert sorted(_ids(index, Filters())) == ["ended", "queued", "running"]


def test_a_settled_request_whose_events_are_lost_is_listed(
    bus: MemoryBus, ledger: Ledger, profile: Profile
) -> None:
    """As a read of NATS shows it: all requests are read, because the index has too few videos."""
    _end(bus, ledger, "ended")
    lost = _end(bus, ledger, "lost")
    bus.purge(VIDEOS, lost.events_filter)
    index = _index(profile)
    replay = _replay(bus, index)
    replay.check()
    videos = {video["id"]: video["status"] for video in _read(index, Filters())}
    assert videos == {"ended": "completed", "lost": "queued"}
    assert replay.confirmed(REQUESTS, 0) >= bus.clock


def test_a_list_that_cant_be_written_is_not_read_until_it_is_built_again(
    bus: MemoryBus, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that it lacks would otherwise be missing for ever."""
    monkeypatch.setattr("functions.status.replay.REBUILD_SECONDS", 0.05)
    index = _index(profile)
    replay = _replay(bus, index)
    replay.check()
    full = threading.Event()
    full.set()
    write = bulk.BulkLoad.write

    def fail(*_: object) -> Any:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(index._table, "put_request", fail)
    monkeypatch.setattr(
        bulk.BulkLoad, "write", lambda self, some: fail() if full.is_set() else write(self, some)
    )
    put_request(bus, VideoKey("acme", "v1"))
    with pytest.raises(Unavailable):
        replay.check()
    full.clear()
    wait_until(lambda: _is_complete(replay), seconds=10, what="the list is built again")
    assert _ids(index, Filters()) == ["v1"]


def _is_complete(replay: Replay) -> bool:
    try:
        replay.check()
    except Unavailable:
        return False
    return True
