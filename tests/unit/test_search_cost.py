"""A search never delays other accounts, whatever it asks for."""

from __future__ import annotations

import threading
import time

import pytest

from functions.shared.errors import SearchTooBroad, Unavailable
from functions.shared.streams.bus import Message
from functions.shared.subjects import VideoKey
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import MAX_PROMPT_CHARACTERS
from functions.status.index import Page, VideoIndex
from functions.status.listing import prompt_index, query, time_limit, turns
from functions.status.listing.filters import NO_FILTERS, Filters
from functions.status.listing.query import PageOrder
from functions.status.listing.turns import Turns
from tests.patience import now, wait_until
from tests.unit.events import request_payload

# The evaluation of a phrase in this many prompts of one letter would take seconds.
PROMPTS = 300


def _add(index: VideoIndex, account: str, prompts: list[str], first: int = 1) -> None:
    for seq, prompt in enumerate(prompts, first):
        key = VideoKey(account, f"v{seq}")
        payload = request_payload({"prompt": prompt})
        index.apply_request(Message(key.request_subject, seq, seq, payload))


def _page(index: VideoIndex, account: str, text: str = "") -> Page:
    return index.read_page(
        account, after=None, limit=20, newest_first=True, since=0, filters=Filters(text=text)
    )


@pytest.fixture
def index(profile: Profile) -> VideoIndex:
    """An index in which one account has prompts of one letter, and another has a few."""
    index = VideoIndex(profile, max_age_days=30)
    _add(index, "rude", ["a" * MAX_PROMPT_CHARACTERS] * PROMPTS)
    _add(index, "kind", ["a red circle", "aaaa"], PROMPTS + 1)
    return index


@pytest.mark.parametrize("text", ["a" * 100, "a" * 500, "a" * 499 + "b", "ab" * 250])
def test_a_repeated_letter_is_found_in_milliseconds(index: VideoIndex, text: str) -> None:
    """In long prompts of that letter too, where the positions of a phrase would take minutes."""
    begun = time.thread_time()
    page = _page(index, "rude", text)
    assert time.thread_time() - begun < 2 * time_limit.MAX_QUERY_SECONDS
    assert page.has_more == (set(text) == {"a"})


def test_others_read_while_an_account_searches(index: VideoIndex) -> None:
    """Each of their reads takes less than half a second, and so does a message from NATS."""
    ended = threading.Event()

    def search() -> None:
        while not ended.is_set():
            _page(index, "rude", "a" * 500)

    searches = [threading.Thread(target=search) for _ in range(4)]
    for thread in searches:
        thread.start()
    taken = []
    # Judged by the time that a busy machine served, so that only a search can make them late.
    for seq in range(PROMPTS + 10, PROMPTS + 20):
        for read in (
            lambda: _add(index, "kind", ["a blue square"], seq),  # noqa: B023 - called at once
            lambda: _page(index, "kind"),
            lambda: _page(index, "kind", "circle"),
            lambda: index.queue_position(VideoKey("kind", f"v{seq}")),  # noqa: B023 - the same
        ):
            begun = now().served
            read()
            taken.append(now().served - begun)
    ended.set()
    for thread in searches:
        thread.join()
    assert max(taken) < 0.5
    assert [video["id"] for video in _page(index, "kind", "red circle").videos] == [
        f"v{PROMPTS + 1}"
    ]


def test_a_search_that_takes_too_long_is_refused(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With advice; the table stays usable."""
    monkeypatch.setattr(time_limit, "MAX_QUERY_SECONDS", 0.0)
    index = VideoIndex(profile, max_age_days=30)
    _add(index, "acme", ["x" * 10] * 2000)
    with pytest.raises(SearchTooBroad, match="created_after") as refused:
        _page(index, "acme", "zz")
    assert (refused.value.status, refused.value.code) == (400, "search_too_broad")
    assert len(_page(index, "acme").videos) == 20


def test_a_search_finds_the_text_and_not_only_its_parts(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All trigrams of a text may be in a prompt that does not have the text."""
    monkeypatch.setattr(prompt_index, "MAX_UNINDEXED_ROWS", 1)
    monkeypatch.setattr(query, "MAX_SORTED_ROWS", 2000)
    index = VideoIndex(profile, max_age_days=30)
    _add(index, "acme", ["abcx bcd", "abcd", 'say "abcd"'])
    assert [video["id"] for video in _page(index, "acme", "abcd").videos] == ["v3", "v2"]
    assert [video["id"] for video in _page(index, "acme", '"abcd"').videos] == ["v3"]


@pytest.mark.parametrize("text", ["z", "zz", "片", "片段", "z!"])
def test_a_short_text_is_found_without_reading_all_prompts(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Also at the very end of a prompt, and in any script."""
    monkeypatch.setattr(prompt_index, "SAMPLED_ROWS", 10)
    monkeypatch.setattr(prompt_index, "MAX_UNINDEXED_ROWS", 100)
    monkeypatch.setattr(query, "MAX_SORTED_ROWS", 20)
    index = VideoIndex(profile, max_age_days=30)
    _add(index, "acme", ["a jazz! 片段", "片段zz!", "zz", "ends in z", "片"])
    others = 3000
    _add(index, "acme", ["a red circle"] * others, 6)
    expected = {"z": "1234"}.get(text) or {"zz": "123", "z!": "12", "片": "125"}.get(text, "12")
    with index.reading() as reader:
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        reader._db.set_progress_handler(count, 1)
        rows = query.select_page(reader._db, "acme", Filters(text=text), PageOrder(True), 20)
        reader._db.set_progress_handler(None, 0)
    assert sorted(row["id"] for row in rows) == [f"v{n}" for n in expected]
    # Those that are not indexed yet are read. To read all takes seven steps for each.
    assert steps < 2 * others


def test_an_account_searches_its_own_prompts_only(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement does not touch a row of another account, indexed or not."""
    monkeypatch.setattr(prompt_index, "MAX_UNINDEXED_ROWS", 3)
    index = VideoIndex(profile, max_age_days=30)
    _add(index, "rude", ["red"] * 4)
    _add(index, "kind", ["red"] * 4, 5)
    table = index._table
    for account in ("rude", "kind"):
        found = table.prompts.matching_rows(account, "red")
        assert found is not None
        rows = [row[0] for row in table.db.execute(*found)]
        owners = {
            table.db.execute("SELECT account FROM videos WHERE row_id = ?", (row,)).fetchone()[0]
            for row in rows
        }
        assert (owners, len(rows)) == ({account}, 4)


def test_a_change_never_waits_for_a_reader(index: VideoIndex) -> None:
    """It is applied while a reader is in the middle of a query, which sees none of it."""
    order = PageOrder(newest_first=True)
    with index.reading() as reader:
        before = [row["id"] for row in reader.select_page("kind", NO_FILTERS, order, 10)]
        _add(index, "kind", ["a blue square"], PROMPTS + 10)
        assert len(_page(index, "kind").videos) == len(before) + 1
        again = [row["id"] for row in reader.select_page("kind", NO_FILTERS, order, 10)]
    assert again == before


def test_an_account_has_one_search_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one waits for a while; other accounts do not wait for it."""
    monkeypatch.setattr(turns, "MAX_WAIT_SECONDS", 0.01)
    reading = Turns()
    with reading.search("rude"):
        with reading.search("kind"):
            pass
        with pytest.raises(Unavailable, match="searches"), reading.search("rude"):
            pass
    monkeypatch.setattr(turns, "MAX_WAIT_SECONDS", 5.0)
    found = threading.Event()

    def search() -> None:
        with reading.search("rude"):
            found.set()

    with reading.search("rude"):
        threading.Thread(target=search).start()
        assert not found.is_set()
    wait_until(found.is_set, seconds=5, what="the search that waited")
