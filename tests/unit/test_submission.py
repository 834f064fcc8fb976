"""Publishing a request: what a caller was told is what happened."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.shared.errors import (
    IdempotencyKeyReused,
    OutcomeUnknown,
    QueueFull,
    VideoDeleted,
)
from functions.shared.streams.ledger import Ledger, Snapshot
from functions.shared.streams.validation import check_body, read_request
from functions.shared.subjects import REQUESTS, VideoKey
from functions.shared.video.events import Deleted, EventName
from functions.shared.video.profiles import Profile
from functions.submit.endings import Endings
from functions.submit.queue_limits import Room
from functions.submit.submission import Submissions, derived_video_id
from tests.fakes import MemoryBus, MemoryStore
from tests.harness import wait_until
from tests.unit.events import CREATED, publish

CIRCLE = check_body({"prompt": "a red circle"})
SQUARE = check_body({"prompt": "a blue square"})


@pytest.fixture
def submissions(bus: MemoryBus, ledger: Ledger, profile: Profile) -> Submissions:
    """With a short patience, so that tests are short."""
    room = Room(bus, limit=3, account_limit=None)
    return Submissions(bus, ledger, profile, room, deadline=0.3)


def _requests(bus: MemoryBus) -> list[str]:
    return bus.list_subjects(REQUESTS, "kinora.requests.*.*")


def test_a_request_lies_in_the_stream_with_its_defaults(
    submissions: Submissions, bus: MemoryBus, key: VideoKey, profile: Profile
) -> None:
    """Whoever reads it later finds the same settings that the caller was answered."""
    accepted = submissions.submit(key, CIRCLE, repeatable=False)
    message = bus.get_last_message(REQUESTS, key.request_subject, leader=True)
    assert message is not None
    stored = read_request(message, profile)
    assert accepted.request is not None
    # The API shows whole seconds.
    assert accepted.request.created_at[:19] == stored.created_at[:19]
    assert replace(accepted.request, created_at=stored.created_at) == stored
    assert stored.request.num_inference_steps == profile.num_inference_steps.default


@pytest.mark.parametrize("fault", ["lost", "answer lost", "busy"])
def test_an_unclear_answer_is_cleared_up_before_the_caller_hears(
    submissions: Submissions, bus: MemoryBus, key: VideoKey, fault: str
) -> None:
    """One request lies there, whether the first publish was stored or not."""
    bus.faults.append(fault)
    accepted = submissions.submit(key, CIRCLE, repeatable=False)
    assert accepted.request is not None
    assert _requests(bus) == [key.request_subject]
    assert bus.backlog() == 1


def test_without_an_answer_the_request_never_runs(
    submissions: Submissions, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """The caller hears 503; a request that was stored all the same is buried."""
    bus.faults.extend(["answer lost", *["lost"] * 20])
    with pytest.raises(OutcomeUnknown):
        submissions.submit(key, CIRCLE, repeatable=False)
    bus.faults.clear()
    wait_until(lambda: ledger.read(key).deleted, seconds=5, what="the ghost is buried")
    wait_until(lambda: not _requests(bus), seconds=5, what="its request is gone")


def test_a_stop_waits_for_what_is_left_to_bury(
    submissions: Submissions, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """What a caller was told has failed is undone before the process ends."""
    bus.faults.extend(["answer lost", *["lost"] * 20])
    with pytest.raises(OutcomeUnknown):
        submissions.submit(key, CIRCLE, repeatable=False)
    bus.faults.clear()
    submissions.finish(5)
    assert ledger.read(key).deleted
    assert not _requests(bus)


def test_a_refusal_after_a_missing_answer_is_no_answer(
    submissions: Submissions, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """The first try may be stored, so the caller hears 'unknown' and the request is buried."""
    bus.faults.extend(["answer lost", *["full"] * 20])
    with pytest.raises(OutcomeUnknown):
        submissions.submit(key, CIRCLE, repeatable=False)
    bus.faults.clear()
    wait_until(lambda: ledger.read(key).deleted, seconds=5, what="the ghost is buried")


def test_with_a_key_an_unanswered_request_may_be_sent_again(
    submissions: Submissions, bus: MemoryBus, key: VideoKey
) -> None:
    """Sending it again finds the first one: one video, and nothing is buried."""
    bus.faults.extend(["answer lost", *["lost"] * 20])
    with pytest.raises(OutcomeUnknown):
        submissions.submit(key, CIRCLE, repeatable=True)
    bus.faults.clear()
    again = submissions.submit(key, CIRCLE, repeatable=True)
    assert again.request is not None
    assert bus.backlog() == 1


def test_the_same_key_with_another_request_is_refused(
    submissions: Submissions, key: VideoKey
) -> None:
    """It would be a mistake to make either of them silently."""
    submissions.submit(key, CIRCLE, repeatable=True)
    with pytest.raises(IdempotencyKeyReused):
        submissions.submit(key, SQUARE, repeatable=True)


def test_the_same_key_finds_a_video_whatever_became_of_it(
    submissions: Submissions, bus: MemoryBus, ledger: Ledger, key: VideoKey, profile: Profile
) -> None:
    """A cancelled video is answered as it is, and not made anew."""
    submissions.submit(key, CIRCLE, repeatable=True)
    Endings(bus, ledger, MemoryStore(), profile, deadline=1).cancel(key)
    bus.purge(REQUESTS, key.request_subject)
    again = submissions.submit(key, CIRCLE, repeatable=True)
    assert again.snapshot.name is EventName.CANCELLED
    assert not _requests(bus)
    with pytest.raises(IdempotencyKeyReused):
        submissions.submit(key, SQUARE, repeatable=True)


def test_the_key_of_a_deleted_video_makes_no_other(
    submissions: Submissions, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """Gone is gone: the caller is told to use a new key."""
    publish(ledger, Snapshot(key), EventName.DELETED, Deleted(created_at=CREATED))
    with pytest.raises(VideoDeleted):
        submissions.submit(key, CIRCLE, repeatable=True)
    assert not _requests(bus)


def test_an_id_that_somebody_filled_with_garbage_is_not_ours(
    submissions: Submissions, bus: MemoryBus, key: VideoKey
) -> None:
    """What another publisher put there is neither run for this caller nor a crash."""
    bus.inject(key.request_subject, b"garbage")
    with pytest.raises(IdempotencyKeyReused):
        submissions.submit(key, CIRCLE, repeatable=True)


def test_a_full_queue_takes_nothing_more(submissions: Submissions, bus: MemoryBus) -> None:
    """At the limit the caller hears 429 and when to come back."""
    for number in range(3):
        bus.inject(f"kinora.requests.other.v{number}", b"")
    with pytest.raises(QueueFull) as error:
        submissions.submit(VideoKey("acme", "v"), CIRCLE, repeatable=False)
    assert error.value.retry_after
    assert error.value.retry_after <= 120


def test_an_account_at_its_limit_leaves_room_for_others(
    bus: MemoryBus, ledger: Ledger, profile: Profile
) -> None:
    """429 with a code of its own, until one of its videos was taken; exact within a process."""
    submissions = Submissions(
        bus, ledger, profile, Room(bus, limit=100, account_limit=2), deadline=0.3
    )
    for number in range(2):
        submissions.submit(VideoKey("acme", f"v{number}"), CIRCLE, repeatable=False)
    with pytest.raises(QueueFull) as error:
        submissions.submit(VideoKey("acme", "v2"), CIRCLE, repeatable=False)
    assert error.value.code == "account_queue_full"
    assert 0 < (error.value.retry_after or 0) <= 120
    submissions.submit(VideoKey("other", "v"), CIRCLE, repeatable=False)
    again = submissions.submit(VideoKey("other", "v"), CIRCLE, repeatable=True)
    assert again.request is not None, "what was taken before is answered, and not refused"
    assert bus.take() is not None

    def is_taken() -> bool:
        try:
            submissions.submit(VideoKey("acme", "v3"), CIRCLE, repeatable=False)
        except QueueFull:
            return False
        return True

    wait_until(is_taken, seconds=5, what="there is room again")


def test_a_stream_at_its_size_limit_is_a_full_queue(
    submissions: Submissions, bus: MemoryBus, key: VideoKey, ledger: Ledger
) -> None:
    """The server's own limit reads the same to a caller, and leaves nothing behind."""
    bus.faults.append("full")
    with pytest.raises(QueueFull):
        submissions.submit(key, CIRCLE, repeatable=False)
    assert ledger.read(key) == Snapshot(key)


def test_a_derived_id_depends_on_the_account() -> None:
    """Two accounts may use the same key and never meet."""
    ids = {derived_video_id(account, "key") for account in ("a", "b", "c")}
    assert len(ids) == 3
    assert derived_video_id("a", "key") in ids
    assert derived_video_id("a", "b", "c") != derived_video_id("a", "bc", "")
