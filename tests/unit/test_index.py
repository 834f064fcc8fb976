"""The index: a projection that is correct whatever order the streams are read in."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Message
from functions.shared.streams.video_events import VideoEvent
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import format_rfc3339
from functions.shared.video.events import Deleted, EventName, Started
from functions.shared.video.profiles import Profile, load_profile
from functions.status.index import Page, VideoIndex
from tests.unit.events import completed, request_payload, started


@pytest.fixture
def index(profile: Profile) -> VideoIndex:
    """An empty index."""
    return VideoIndex(profile, max_age_days=30)


def _request(key: VideoKey, seq: int, prompt: str = "x") -> Message:
    return Message(key.request_subject, seq, seq, request_payload({"prompt": prompt}))


def _event(key: VideoKey, seq: int, name: EventName, data: object) -> Message:
    event = VideoEvent.new(key, name, data, source="/test")  # type: ignore[arg-type]
    return Message(key.event_subject(name), seq, 10**18 + seq, event.to_bytes())


def _started(key: VideoKey, created: int) -> Started:
    return started(key).model_copy(update={"created_at": format_rfc3339(created)})


def _page(index: VideoIndex, account: str = "acme", **options: object) -> Page:
    defaults = {"after": None, "limit": 20, "newest_first": True, "since": 0}
    return index.read_page(account, **{**defaults, **options})  # type: ignore[arg-type]


def _apply(index: VideoIndex, message: Message) -> None:
    if message.subject.startswith("kinora.requests."):
        index.apply_request(message)
    else:
        index.apply_event(message)


def test_messages_in_any_order_lead_to_the_same_list(profile: Profile) -> None:
    """VIDEOS takes precedence over REQUESTS, and later messages over earlier ones."""
    one, two = VideoKey("acme", "v1"), VideoKey("acme", "v2")
    messages = [
        _request(one, 1),
        _request(two, 2),
        _event(one, 1, EventName.STARTED, _started(one, 1)),
        _event(
            one,
            2,
            EventName.COMPLETED,
            completed(_started(one, 1), prefix=f"{one.object_prefix}1-x/"),
        ),
        _event(two, 3, EventName.DELETED, Deleted(created_at=format_rfc3339(2))),
    ]
    for order in itertools.permutations(messages):
        index = VideoIndex(profile, max_age_days=30)
        for message in order:
            _apply(index, message)
        (video,) = _page(index).videos
        assert (video["id"], video["status"]) == ("v1", "completed")


def test_waiting_videos_have_a_queue_position(index: VideoIndex) -> None:
    """1 starts next; all accounts count, but not videos that run, have ended or were deleted."""
    keys = [VideoKey(account, f"v{n}") for n, account in enumerate("abcde")]
    for seq, key in enumerate(keys, 1):
        index.apply_request(_request(key, seq))
    index.apply_event(_event(keys[0], 1, EventName.STARTED, _started(keys[0], 1)))
    index.apply_event(_event(keys[2], 2, EventName.DELETED, Deleted(created_at=format_rfc3339(3))))
    assert [index.queue_position(key) for key in keys] == [None, 1, None, 2, 3]
    assert _page(index, "b").videos[0]["queue_position"] == 1
    assert _page(index, "a").videos[0]["queue_position"] is None


def test_an_invalid_request_is_listed_until_it_fails(index: VideoIndex) -> None:
    """Its publisher can find it, without any defaults."""
    key = VideoKey("acme", "v1")
    index.apply_request(Message(key.request_subject, 1, 1, b"garbage"))
    (video,) = _page(index).videos
    assert (video["status"], video["prompt"], video["model"]) == ("queued", "", None)


def test_garbage_in_the_streams_is_ignored(index: VideoIndex) -> None:
    """A malformed message does not break the list."""
    index.apply_request(Message("kinora.requests.a.b*", 1, 1, b""))
    index.apply_event(Message("kinora.videos.a.b.started", 1, 1, b"garbage"))
    index.apply_event(Message("kinora.videos.a.b.other", 2, 1, request_payload({}, type="x")))
    index.apply_event(
        Message(
            "kinora.videos.a.b.started",
            3,
            1,
            request_payload({}, type="dev.kinora.video.started.v1"),
        )
    )
    assert _page(index, "a").videos == []


def test_an_unreadable_terminal_event_is_listed_as_failed(index: VideoIndex) -> None:
    """So that its owner can see and delete it; a date in the year 9999 does no harm."""
    far = completed(_started(VideoKey("a", "b"), 1)).model_copy(
        update={"created_at": "9999-12-31T23:59:59Z"}
    )
    index.apply_event(_event(VideoKey("a", "b"), 1, EventName.COMPLETED, far))
    (video,) = _page(index, "a").videos
    assert video["status"] == "failed"
    assert video["error"] is not None
    assert video["error"]["code"] == "unreadable"


def test_an_account_sees_only_its_own(index: VideoIndex) -> None:
    """Neither in the list nor as a cursor."""
    index.apply_request(_request(VideoKey("a", "v1"), 1))
    assert _page(index, "b").videos == []
    with pytest.raises(InvalidRequest):
        _page(index, "b", after="v1")


def test_expired_videos_are_not_listed(index: VideoIndex) -> None:
    """The streams drop them without an event, so the list goes by their age."""
    index.apply_request(_request(VideoKey("acme", "v1"), 1))
    index.apply_request(_request(VideoKey("acme", "v2"), 2))
    assert [video["id"] for video in _page(index, since=2).videos] == ["v2"]


def test_an_unknown_cursor_is_refused(index: VideoIndex) -> None:
    """An invented cursor would otherwise look like the end of the list."""
    with pytest.raises(InvalidRequest) as error:
        _page(index, after="unknown")
    assert error.value.param == "after"


@settings(max_examples=60)
@given(
    created=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    deletions=st.lists(st.integers(0, 30), max_size=8),
    limit=st.integers(1, 4),
    newest_first=st.booleans(),
)
def test_paging_neither_repeats_nor_skips_videos_during_deletions(
    created: list[int], deletions: list[int], limit: int, newest_first: bool
) -> None:
    """Even among videos created at the same time, and if the page's last video is deleted."""
    index = VideoIndex(load_profile("demo"), max_age_days=30)
    keys = [VideoKey("acme", f"v{n:02d}") for n in range(len(created))]
    for seq, (key, at) in enumerate(zip(keys, created, strict=True), 1):
        index.apply_request(Message(key.request_subject, seq, at, request_payload({"prompt": "x"})))
    deleted: set[str] = set()
    seen: list[str] = []
    upcoming, after = iter(deletions), None
    while True:
        page = _page(index, after=after, limit=limit, newest_first=newest_first)
        assert page.videos or not page.has_more, "an empty page that promises more"
        seen += [video["id"] for video in page.videos]
        if not page.has_more:
            break
        after = seen[-1]
        victim = next(upcoming, None)
        if victim is not None:
            number = victim % len(keys)
            deleted.add(keys[number].video_id)
            data = Deleted(created_at=format_rfc3339(created[number]))
            seq = 100 + len(deleted)
            index.apply_event(_event(keys[number], seq, EventName.DELETED, data))
    expected = sorted(zip(created, (key.video_id for key in keys), strict=True))
    ids = [name for _, name in (reversed(expected) if newest_first else expected)]
    assert len(set(seen)) == len(seen)
    assert [name for name in ids if name in seen] == seen, "in order"
    assert set(ids) - set(seen) <= deleted, "only deleted videos may be missing"
