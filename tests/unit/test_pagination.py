"""Paging through the list while it changes: every page is correct, whatever happens in between.

The state machine keeps a model of all videos, and so knows what each page must be, in both sort
orders and with equal creation times. The limits that decide between query plans are drawn at
random too, so that every plan is used.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from functions.shared.streams.bus import Message
from functions.shared.streams.video_events import VideoEvent
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import format_rfc3339
from functions.shared.video.events import (
    Cancelled,
    Deleted,
    EventName,
    Failed,
    Failure,
    carried_over,
)
from functions.shared.video.profiles import load_profile
from functions.status.index import VideoIndex
from functions.status.listing import prompt_index, query
from functions.status.listing.filters import Filters, folded
from tests.unit.events import completed, progressed, request_payload, resolved, started

ACCOUNT = "acme"
ACCOUNTS = st.sampled_from([ACCOUNT, ACCOUNT, ACCOUNT, "other"])
# Few different times, so that many videos share one.
CREATED = st.integers(1, 5)
STATES = ("queued", "in_progress", "completed", "failed")
PROMPTS = (
    "a red circle",
    "A RED Square",
    "100% café_",
    "CAFE\u0301 by night",
    "Straße",
    'so "so"',
    "\uff21\uff22\uff23",
)
TEXTS = ("", "red", "RED C", "é", "%", "_", "strasse", '"', "e", "circle\0", "abc", "nothing")
PAIRS = st.dictionaries(st.sampled_from(["team", "k"]), st.sampled_from(["a", "b", ""]), max_size=2)

STATUSES = st.sets(st.sampled_from(STATES), min_size=1, max_size=3).map(lambda s: tuple(sorted(s)))
TIME_RANGES = st.sampled_from([(0, 9), (2, 5), (3, 3)])
# Each filter alone, where it decides the query plan, and all of them combined.
FILTERS = st.one_of(
    st.just(Filters()),
    st.builds(Filters, STATUSES),
    st.builds(Filters, text=st.sampled_from(TEXTS).map(folded)),
    st.builds(Filters, metadata=PAIRS),
    st.builds(
        lambda statuses, times, metadata, text: Filters(
            statuses, times[0], times[1], metadata, folded(text)
        ),
        STATUSES,
        TIME_RANGES,
        PAIRS,
        st.sampled_from(TEXTS),
    ),
)


@dataclass
class _Model:
    """What a video must look like."""

    key: VideoKey
    created: int
    prompt: str
    metadata: dict[str, str]
    status: str = "queued"

    @property
    def sort_key(self) -> tuple[int, str]:
        return self.created, self.key.video_id

    def matches(self, filters: Filters) -> bool:
        plain = unicodedata.normalize("NFKC", self.prompt).casefold()
        return (
            self.status != "deleted"
            and (not filters.statuses or self.status in filters.statuses)
            and filters.created_from <= self.created < filters.created_until
            and filters.metadata.items() <= self.metadata.items()
            and filters.text in unicodedata.normalize("NFKC", plain)
        )


@dataclass
class _Client:
    """A client that pages through the list; `steady` are the videos that match all the time."""

    filters: Filters
    newest_first: bool
    limit: int
    steady: set[str]
    seen: list[str] = field(default_factory=list)


class Pagination(RuleBasedStateMachine):
    """Videos are created, changed and deleted while a client pages through them."""

    @initialize(unindexed=st.sampled_from([1, 3, 1000]), sorted_rows=st.sampled_from([1, 3, 2000]))
    def start(self, unindexed: int, sorted_rows: int) -> None:
        """An empty list."""
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(prompt_index, "MAX_UNINDEXED_ROWS", unindexed)
        self.patch.setattr(query, "MAX_SORTED_ROWS", sorted_rows)
        self.index = VideoIndex(load_profile("demo"), max_age_days=30)
        self.videos: dict[str, _Model] = {}
        self.client: _Client | None = None
        self.seq = 0

    def teardown(self) -> None:
        """Restore the limits."""
        self.patch.undo()

    @rule(
        videos=st.lists(st.tuples(ACCOUNTS, CREATED, st.sampled_from(PROMPTS), PAIRS), min_size=1)
    )
    def create(self, videos: list[tuple[str, int, str, dict[str, str]]]) -> None:
        """New videos are requested."""
        for account, created, prompt, metadata in videos:
            self.seq += 1
            # Ids sort differently from creation times.
            key = VideoKey(account, f"v{self.seq * 7919 % 100:02d}_{self.seq}")
            payload = request_payload({"prompt": prompt, "metadata": metadata})
            self.index.apply_request(Message(key.request_subject, self.seq, created, payload))
            if account == ACCOUNT:
                self.videos[key.video_id] = _Model(key, created, prompt, metadata)

    @precondition(lambda self: self.videos)
    @rule(data=st.data(), name=st.sampled_from([*EventName][1:]), redeliver=st.booleans())
    def change(self, data: st.DataObject, name: EventName, *, redeliver: bool) -> None:
        """A video gets an event; perhaps its request is read once more afterwards."""
        video = self.videos[data.draw(st.sampled_from(sorted(self.videos)))]
        self.seq += 1
        if video.status == "deleted":
            return
        event = VideoEvent.new(video.key, name, _event_data(video, name), source="/test")
        message = Message(video.key.event_subject(name), self.seq, 10**18, event.to_bytes())
        self.index.apply_event(message)
        if redeliver:
            payload = request_payload({"prompt": video.prompt, "metadata": video.metadata})
            again = Message(video.key.request_subject, self.seq, video.created, payload)
            self.index.apply_request(again)
        video.status = _status_after(name)
        if self.client is not None and not video.matches(self.client.filters):
            self.client.steady.discard(video.key.video_id)

    @rule(filters=FILTERS, newest_first=st.booleans(), limit=st.integers(1, 3))
    def read_first_page(self, filters: Filters, newest_first: bool, limit: int) -> None:
        """A client starts to page; the previous one stops."""
        steady = {name for name, video in self.videos.items() if video.matches(filters)}
        self.client = _Client(filters, newest_first, limit, steady)
        self.read_next_page()

    @precondition(lambda self: self.client is not None)
    @rule()
    def read_next_page(self) -> None:
        """The page is as it must be; after the last one, every steady video has been seen."""
        client = self.client
        assert client is not None
        after = client.seen[-1] if client.seen else None
        page = self.index.read_page(
            ACCOUNT,
            after=after,
            limit=client.limit,
            newest_first=client.newest_first,
            since=0,
            filters=client.filters,
        )
        ids = [video["id"] for video in page.videos]
        expected = self._ids_after(client, after)
        assert ids == expected[: client.limit]
        assert page.has_more == (len(expected) > client.limit)
        assert ids or not page.has_more, "an empty page that promises more"
        assert not set(ids) & set(client.seen), "a video was repeated"
        assert [video["status"] for video in page.videos] == [
            self.videos[name].status for name in ids
        ]
        client.seen += ids
        if not page.has_more:
            assert client.steady <= set(client.seen), "a video that always matched is missing"
            self.client = None

    def _ids_after(self, client: _Client, after: str | None) -> list[str]:
        videos = [video for video in self.videos.values() if video.matches(client.filters)]
        if after is not None:
            cursor = self.videos[after].sort_key
            videos = [
                video
                for video in videos
                if (video.sort_key < cursor if client.newest_first else video.sort_key > cursor)
            ]
        videos.sort(key=lambda video: video.sort_key, reverse=client.newest_first)
        return [video.key.video_id for video in videos]


def _event_data(video: _Model, name: EventName) -> Any:
    begun = started(video.key).model_copy(
        update={
            "created_at": format_rfc3339(video.created),
            "request": resolved(video.key, prompt=video.prompt, metadata=video.metadata),
        }
    )
    match name:
        case EventName.STARTED:
            return begun
        case EventName.PROGRESSED:
            return progressed(begun)
        case EventName.COMPLETED:
            return completed(begun, prefix=f"{video.key.object_prefix}1-x/")
        case EventName.FAILED:
            return Failed(**carried_over(begun), error=Failure(code="x", message="y"))
        case EventName.CANCELLED:
            return Cancelled(**carried_over(begun))
    return Deleted(created_at=format_rfc3339(video.created))


def _status_after(name: EventName) -> str:
    if name in {EventName.STARTED, EventName.PROGRESSED}:
        return "in_progress"
    if name is EventName.COMPLETED:
        return "completed"
    return "deleted" if name is EventName.DELETED else "failed"


TestPagination = Pagination.TestCase
TestPagination.settings = settings(max_examples=100, stateful_step_count=40)
