"""Submitting requests: a caller can rely on the answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.shared.errors import (
    IdempotencyKeyReused,
    NotStored,
    OutcomeUnknown,
    QueueFull,
    VideoDeleted,
)
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.queue_state import backlog, newest_queue_state
from functions.shared.streams.validation import check_body, read_request
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import REQUESTS, VideoKey
from functions.shared.video.events import Deleted, EventName
from functions.shared.video.profiles import Profile
from functions.submit.cancellation import Cancellations
from functions.submit.queue_limits import QueueLimits
from functions.submit.stream_writes import StreamWrites
from functions.submit.submission import Submissions
from functions.submit.video_ids import derived_video_id
from tests.fakes import MemoryBus
from tests.patience import wait_until
from tests.unit.events import CREATED, publish
from tests.unit.turns import write_state

CIRCLE = check_body({"prompt": "a red circle"})
SQUARE = check_body({"prompt": "a blue square"})


@pytest.fixture
def submissions(bus: MemoryBus, ledger: Ledger, profile: Profile) -> Submissions:
    """With a short deadline, which keeps the tests short."""
    limits = QueueLimits(bus, limit=3, account_limit=lambda _: None)
    return Submissions(bus, ledger, profile, limits, StreamWrites(bus.check_writes), deadline=0.3)


def _requests(bus: MemoryBus) -> list[str]:
    return bus.list_subjects(REQUESTS, "kinora.requests.*.*")


def test_a_request_lies_in_the_stream_with_its_defaults(
    submissions: Submissions, bus: MemoryBus, key: VideoKey, profile: Profile
) -> None:
    """Later readers find the settings that the caller got in the response."""
    accepted = submissions.submit(key, CIRCLE, idempotent=False)
    message = bus.get_last_message(REQUESTS, key.request_subject, leader=True)
    assert message is not None
    stored = read_request(message, profile)
    assert accepted.request is not None
    # The API shows whole seconds.
    assert accepted.request.created_at[:19] == stored.created_at[:19]
    assert replace(accepted.request, created_at=stored.created_at) == stored
    assert stored.request.num_inference_steps == profile.num_inference_steps.default


@pytest.mark.parametrize("fault", ["lost", "answer lost", "busy"])
def test_a_publish_is_retried_until_its_outcome_is_known(
    submissions: Submissions, bus: MemoryBus, key: VideoKey, fault: str
) -> None:
    """Exactly one request is stored, whether or not the first publish was."""
    bus.faults.append(fault)
    accepted = submissions.submit(key, CIRCLE, idempotent=False)
    assert accepted.request is not None
    assert _requests(bus) == [key.request_subject]
    assert backlog(bus, newest_queue_state(bus)) == 1


def test_while_nothing_is_stored_callers_are_told_at_once(
    submissions: Submissions, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """The first one's request is withdrawn; those after it publish nothing that could run later."""
    bus.stopped_writing = True
    with pytest.raises(OutcomeUnknown):
        submissions.submit(key, CIRCLE, idempotent=False)
    later = VideoKey("acme", "later")
    bus.faults.clear()
    wait_until(lambda: _is_refused(submissions, later), seconds=10, what="others are told")
    assert bus.get_last_message(REQUESTS, later.request_subject, leader=True) is None
    bus.stopped_writing = False
    wait_until(lambda: ledger.read(key).deleted, seconds=10, what="the request is withdrawn")
    wait_until(
        lambda: not _is_refused(submissions, later), seconds=10, what="requests are stored again"
    )
    assert _requests(bus) == [later.request_subject]


def _is_refused(submissions: Submissions, key: VideoKey) -> bool:
    try:
        submissions.submit(key, CIRCLE, idempotent=True)
    except NotStored:
        return True
    except OutcomeUnknown:
        return False
    return False


def test_without_an_answer_the_request_never_runs(
    submissions: Submissions, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """The caller gets 503; if the request was stored, it is withdrawn."""
    bus.faults.extend(["answer lost", *["lost"] * 20])
    with pytest.raises(OutcomeUnknown):
        submissions.submit(key, CIRCLE, idempotent=False)
    bus.faults.clear()
    wait_until(lambda: ledger.read(key).deleted, seconds=5, what="the request is withdrawn")
    wait_until(lambda: not _requests(bus), seconds=5, what="it is removed from the stream")


def test_draining_withdraws_unconfirmed_requests(
    submissions: Submissions, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """A request that a caller was told had failed is withdrawn before the process exits."""
    bus.faults.extend(["answer lost", *["lost"] * 20])
    with pytest.raises(OutcomeUnknown):
        submissions.submit(key, CIRCLE, idempotent=False)
    bus.faults.clear()
    submissions.drain(5)
    assert ledger.read(key).deleted
    assert not _requests(bus)


def test_a_refusal_after_an_unknown_outcome_leaves_it_unknown(
    submissions: Submissions, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """The first try may be stored, so the request is withdrawn."""
    bus.faults.extend(["answer lost", *["full"] * 20])
    with pytest.raises(OutcomeUnknown):
        submissions.submit(key, CIRCLE, idempotent=False)
    bus.faults.clear()
    wait_until(lambda: ledger.read(key).deleted, seconds=5, what="the request is withdrawn")


def test_an_unconfirmed_request_with_an_idempotency_key_can_be_retried(
    submissions: Submissions, bus: MemoryBus, key: VideoKey
) -> None:
    """The retry finds the stored request: one video, and nothing is withdrawn."""
    bus.faults.extend(["answer lost", *["lost"] * 20])
    with pytest.raises(OutcomeUnknown):
        submissions.submit(key, CIRCLE, idempotent=True)
    bus.faults.clear()
    again = submissions.submit(key, CIRCLE, idempotent=True)
    assert again.request is not None
    assert backlog(bus, newest_queue_state(bus)) == 1


def test_an_idempotency_key_with_a_different_request_is_refused(
    submissions: Submissions, key: VideoKey
) -> None:
    """Either choice would silently ignore one of the requests."""
    submissions.submit(key, CIRCLE, idempotent=True)
    with pytest.raises(IdempotencyKeyReused):
        submissions.submit(key, SQUARE, idempotent=True)


def test_an_idempotency_key_finds_its_video_in_any_state(
    submissions: Submissions, bus: MemoryBus, ledger: Ledger, key: VideoKey, profile: Profile
) -> None:
    """A cancelled video is returned as it is, and not created again."""
    submissions.submit(key, CIRCLE, idempotent=True)
    writes = StreamWrites(bus.check_writes)
    Cancellations(bus, ledger, profile, writes, deadline=1).cancel(key)
    bus.purge(REQUESTS, key.request_subject)
    again = submissions.submit(key, CIRCLE, idempotent=True)
    assert again.snapshot.name is EventName.CANCELLED
    assert not _requests(bus)
    with pytest.raises(IdempotencyKeyReused):
        submissions.submit(key, SQUARE, idempotent=True)


def test_the_idempotency_key_of_a_deleted_video_creates_no_other(
    submissions: Submissions, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """The error asks for a new key."""
    publish(ledger, Snapshot(key), EventName.DELETED, Deleted(created_at=CREATED))
    with pytest.raises(VideoDeleted):
        submissions.submit(key, CIRCLE, idempotent=True)
    assert not _requests(bus)


def test_an_id_with_garbage_in_the_stream_is_refused(
    submissions: Submissions, bus: MemoryBus, key: VideoKey
) -> None:
    """Garbage from another publisher counts as a different request."""
    bus.inject(key.request_subject, b"garbage")
    with pytest.raises(IdempotencyKeyReused):
        submissions.submit(key, CIRCLE, idempotent=True)


def test_a_full_queue_accepts_no_more_requests(submissions: Submissions, bus: MemoryBus) -> None:
    """At the limit, the caller gets 429 with a Retry-After."""
    for number in range(3):
        bus.inject(f"kinora.requests.other.v{number}", b"")
    with pytest.raises(QueueFull) as error:
        submissions.submit(VideoKey("acme", "v"), CIRCLE, idempotent=False)
    assert error.value.retry_after
    assert error.value.retry_after <= 120


def test_an_account_at_its_limit_leaves_room_for_others(
    bus: MemoryBus, ledger: Ledger, profile: Profile
) -> None:
    """429 with a code of its own until one of its videos starts; exact within a process."""
    limits = QueueLimits(bus, limit=100, account_limit=lambda _: 2)
    submissions = Submissions(
        bus, ledger, profile, limits, StreamWrites(bus.check_writes), deadline=0.3
    )
    for number in range(2):
        submissions.submit(VideoKey("acme", f"v{number}"), CIRCLE, idempotent=False)
    with pytest.raises(QueueFull) as error:
        submissions.submit(VideoKey("acme", "v2"), CIRCLE, idempotent=False)
    assert error.value.code == "account_queue_full"
    assert 0 < (error.value.retry_after or 0) <= 120
    submissions.submit(VideoKey("other", "v"), CIRCLE, idempotent=False)
    again = submissions.submit(VideoKey("other", "v"), CIRCLE, idempotent=True)
    assert again.request is not None, "an accepted request is returned rather than refused"
    write_state(bus, waiting={"acme": 1, "other": 1})

    def is_accepted() -> bool:
        try:
            submissions.submit(VideoKey("acme", "v3"), CIRCLE, idempotent=False)
        except QueueFull:
            return False
        return True

    wait_until(is_accepted, seconds=5, what="the account has room again")


def test_a_stream_at_its_size_limit_is_a_full_queue(
    submissions: Submissions, bus: MemoryBus, key: VideoKey, ledger: Ledger
) -> None:
    """The caller gets the same error as for the other limits, and nothing is stored."""
    bus.faults.append("full")
    with pytest.raises(QueueFull):
        submissions.submit(key, CIRCLE, idempotent=False)
    assert ledger.read(key) == Snapshot(key)


def test_a_derived_id_depends_on_the_account() -> None:
    """Two accounts may use the same key without a conflict."""
    ids = {derived_video_id(account, "key") for account in ("a", "b", "c")}
    assert len(ids) == 3
    assert derived_video_id("a", "key") in ids
    assert derived_video_id("a", "b", "c") != derived_video_id("a", "bc", "")
