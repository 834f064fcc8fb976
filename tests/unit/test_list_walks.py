"""Walking through the list while it changes: whatever happens in between, no page lies.

The machine knows what each video is, and so what every page must be; both in their order, with
ties in the time of creation, and with every way of finding a page, because the limits between
these ways are drawn too.
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
from functions.status import query, table
from functions.status.filters import Filters, folded
from functions.status.index import Index
from tests.unit.events import completed, progressed, request_payload, resolved, started

ACCOUNT = "acme"
ACCOUNTS = st.sampled_from([ACCOUNT, ACCOUNT, ACCOUNT, "other"])
# So few moments that many videos share one.
CREATED = st.integers(1, 5)
STATES = ("queued", "in_progress", "completed", "failed")
PROMPTS = ("a red circle", "A RED Square", "100% café_", "CAFE\u0301 by night", "Straße", 'so "so"')
TEXTS = ("", "red", "RED C", "é", "%", "_", "strasse", '"', "e", "circle\0", "nothing")
PAIRS = st.dictionaries(st.sampled_from(["team", "k"]), st.sampled_from(["a", "b", ""]), max_size=2)

STATUSES = st.sets(st.sampled_from(STATES), min_size=1, max_size=3).map(lambda s: tuple(sorted(s)))
SPANS = st.sampled_from([(0, 9), (2, 5), (3, 3)])
# Each alone, where it decides how a page is found, and all of them together.
FILTERS = st.one_of(
    st.just(Filters()),
    st.builds(Filters, STATUSES),
    st.builds(Filters, text=st.sampled_from(TEXTS).map(folded)),
    st.builds(Filters, metadata=PAIRS),
    st.builds(
        lambda statuses, span, metadata, text: Filters(
            statuses, span[0], span[1], metadata, folded(text)
        ),
        STATUSES,
        SPANS,
        PAIRS,
        st.sampled_from(TEXTS),
    ),
)


@dataclass
class _Known:
    """What the machine knows of a video."""

    key: VideoKey
    created: int
    prompt: str
    metadata: dict[str, str]
    status: str = "queued"

    @property
    def place(self) -> tuple[int, str]:
        return self.created, self.key.video_id

    def fulfils(self, filters: Filters) -> bool:
        plain = unicodedata.normalize("NFC", self.prompt).casefold()
        return (
            self.status != "deleted"
            and (not filters.statuses or self.status in filters.statuses)
            and filters.created_from <= self.created < filters.created_until
            and filters.metadata.items() <= self.metadata.items()
            and filters.text in unicodedata.normalize("NFC", plain)
        )


@dataclass
class _Walk:
    """Somebody who pages through the list."""

    filters: Filters
    newest_first: bool
    limit: int
    steady: set[str]
    seen: list[str] = field(default_factory=list)


class Walks(RuleBasedStateMachine):
    """Videos come, change and go, while somebody pages through them."""

    @initialize(tail=st.sampled_from([1, 3, 1000]), few=st.sampled_from([1, 3, 2000]))
    def begin(self, tail: int, few: int) -> None:
        """An empty list."""
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(table, "TAIL", tail)
        self.patch.setattr(query, "FEW", few)
        self.index = Index(load_profile("demo"), max_age_days=30)
        self.videos: dict[str, _Known] = {}
        self.walk: _Walk | None = None
        self.seq = 0

    def teardown(self) -> None:
        """Leave no trace."""
        self.patch.undo()

    @rule(
        videos=st.lists(st.tuples(ACCOUNTS, CREATED, st.sampled_from(PROMPTS), PAIRS), min_size=1)
    )
    def create(self, videos: list[tuple[str, int, str, dict[str, str]]]) -> None:
        """Somebody asks for videos."""
        for account, created, prompt, metadata in videos:
            self.seq += 1
            # In another order than that of their creation.
            key = VideoKey(account, f"v{self.seq * 7919 % 100:02d}_{self.seq}")
            payload = request_payload({"prompt": prompt, "metadata": metadata})
            self.index.apply_request(Message(key.request_subject, self.seq, created, payload))
            if account == ACCOUNT:
                self.videos[key.video_id] = _Known(key, created, prompt, metadata)

    @precondition(lambda self: self.videos)
    @rule(data=st.data(), name=st.sampled_from([*EventName][1:]), early=st.booleans())
    def change(self, data: st.DataObject, name: EventName, *, early: bool) -> None:
        """Something happens to a video; or something old about it is read once more."""
        video = self.videos[data.draw(st.sampled_from(sorted(self.videos)))]
        self.seq += 1
        if video.status == "deleted":
            return
        content = _content(video, name)
        event = VideoEvent.new(video.key, name, content, source="/test")
        message = Message(video.key.event_subject(name), self.seq, 10**18, event.to_bytes())
        self.index.apply_event(message)
        if early:
            payload = request_payload({"prompt": video.prompt, "metadata": video.metadata})
            again = Message(video.key.request_subject, self.seq, video.created, payload)
            self.index.apply_request(again)
        video.status = _status(name)
        if self.walk is not None and not video.fulfils(self.walk.filters):
            self.walk.steady.discard(video.key.video_id)

    @rule(filters=FILTERS, newest_first=st.booleans(), limit=st.integers(1, 3))
    def set_out(self, filters: Filters, newest_first: bool, limit: int) -> None:
        """Somebody begins to page; the one before gives up."""
        steady = {name for name, video in self.videos.items() if video.fulfils(filters)}
        self.walk = _Walk(filters, newest_first, limit, steady)
        self.turn_the_page()

    @precondition(lambda self: self.walk is not None)
    @rule()
    def turn_the_page(self) -> None:
        """The page is what it must be; a walk that ends has seen whatever was there throughout."""
        walk = self.walk
        assert walk is not None
        after = walk.seen[-1] if walk.seen else None
        page = self.index.page(
            ACCOUNT,
            after=after,
            limit=walk.limit,
            newest_first=walk.newest_first,
            since=0,
            filters=walk.filters,
        )
        ids = [video["id"] for video in page.videos]
        expected = self._after(walk, after)
        assert ids == expected[: walk.limit]
        assert page.has_more == (len(expected) > walk.limit)
        assert ids or not page.has_more, "an empty page that promises more"
        assert not set(ids) & set(walk.seen), "a video came twice"
        assert [video["status"] for video in page.videos] == [
            self.videos[name].status for name in ids
        ]
        walk.seen += ids
        if not page.has_more:
            assert walk.steady <= set(walk.seen), "a video that was there throughout is missing"
            self.walk = None

    def _after(self, walk: _Walk, after: str | None) -> list[str]:
        beyond = [video for video in self.videos.values() if video.fulfils(walk.filters)]
        if after is not None:
            place = self.videos[after].place
            beyond = [
                video
                for video in beyond
                if (video.place < place if walk.newest_first else video.place > place)
            ]
        beyond.sort(key=lambda video: video.place, reverse=walk.newest_first)
        return [video.key.video_id for video in beyond]


def _content(video: _Known, name: EventName) -> Any:
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


def _status(name: EventName) -> str:
    if name in {EventName.STARTED, EventName.PROGRESSED}:
        return "in_progress"
    if name is EventName.COMPLETED:
        return "completed"
    return "deleted" if name is EventName.DELETED else "failed"


TestWalks = Walks.TestCase
TestWalks.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
