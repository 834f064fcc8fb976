"""Checks that streams, bucket and the answers to callers agree, without importing Kinora's code.

It only reads, once everything is idle and the sweeper has run once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.e2e.faults.bucket import Bucket
from tests.e2e.faults.caller_record import CallerRecord
from tests.e2e.faults.history import History, build_histories
from tests.e2e.faults.streams import Streams

# How long after its answer `submit` may take to withdraw a request that it refused.
WITHDRAW_SECONDS: Final = 60.0
NOT_FOUND: Final = 404


@dataclass
class Verdict:
    """The result of a check.

    Attributes:
        violations: one line for each; it names the video.
        states: the number of videos in each state.
        ghosts: refused requests that exist because `submit` exited before it could withdraw them.
        by_key: the history of each video.
        missed: the number of stored messages that the audit missed.
    """

    violations: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    ghosts: int = 0
    by_key: dict[tuple[str, str], History] = field(default_factory=dict)
    missed: int = 0

    @property
    def report(self) -> str:
        """The violations, one per line."""
        return "\n".join(self.violations)


def read_histories(streams: Streams) -> tuple[dict[tuple[str, str], History], int]:
    """Return the history of every video, and how many messages of VIDEOS the audit missed."""
    names = ("REQUESTS", "VIDEOS")
    held = [streams.read(name) for name in names]
    audits = [streams.audit(name) for name in names]
    seen = {message.seq for message in audits[1]}
    newest = max((message.seq for message in held[1]), default=0)
    missed = frozenset(range(1, newest + 1)) - seen
    return build_histories(audits, held, missed), len(missed)


def check(
    streams: Streams,
    s3: Any,
    caller_records: Iterable[CallerRecord],
    submit_exits: Iterable[float] = (),
) -> Verdict:
    """Check every video, and every answer that a caller got."""
    verdict = Verdict()
    verdict.by_key, verdict.missed = read_histories(streams)
    bucket = Bucket(s3)
    records = list(caller_records)
    fields = {(t.account, t.video_id): t.fields for t in records if t.interface != "poison"}
    dropped = {(t.account, t.video_id) for t in records if t.interface == "dropped"}
    for key, history in verdict.by_key.items():
        if key in dropped:
            if history.events:
                verdict.violations.append(f"{key}: has an invalid id, but is {history.state}")
            continue
        verdict.states[history.state] += 1
        for violation in [*history.check(), *bucket.check(history, fields.get(key))]:
            verdict.violations.append(f"{key}: {violation}")
    unknown = {key for key, names in bucket.keys.items() if names} - verdict.by_key.keys()
    verdict.violations += [f"{key}: has objects, but was never requested" for key in unknown]
    _check_records(verdict, records, list(submit_exits))
    return verdict


def _check_records(
    verdict: Verdict, records: list[CallerRecord], submit_exits: list[float]
) -> None:
    by_nonce: defaultdict[str, list[History]] = defaultdict(list)
    for history in verdict.by_key.values():
        for nonce in {_nonce(history)} - {None}:
            by_nonce[str(nonce)].append(history)
    for record in records:
        name = f"{record.interface} {record.nonce}"
        found = by_nonce[record.nonce]
        if record.interface in {"poison", "dropped"}:
            violations = list(_check_poison(verdict, record))
        elif record.outcome == "refused" and not record.idempotent:
            violations, ghosts = _check_refused(record, found, submit_exits)
            verdict.ghosts += ghosts
        else:
            violations = list(_check_videos(verdict, record, found))
        verdict.violations += [f"{name}: {violation}" for violation in violations]


def _nonce(history: History) -> str | None:
    """The last word of the prompt, which identifies the request without an id."""
    for request in history.requests:
        # In binary mode the payload is only the data.
        prompt = request.data.get("prompt") or request.event.get("prompt")
        if isinstance(prompt, str):
            return prompt.rpartition(" ")[2]
    return None


def _check_videos(verdict: Verdict, record: CallerRecord, found: list[History]) -> Iterator[str]:
    if len(found) > 1:
        yield f"became {len(found)} videos: {[history.key for history in found]}"
    if any(history.key[0] != record.account for history in found):
        yield f"became another account's video: {[history.key for history in found]}"
    if record.outcome == "refused":
        yield "was refused although it is valid"
    if record.outcome == "accepted":
        yield from _check_accepted(verdict, record)
    yield from (
        f"another account got status {s}" for s in record.foreign_statuses if s != NOT_FOUND
    )


def _check_accepted(verdict: Verdict, record: CallerRecord) -> Iterator[str]:
    history = verdict.by_key.get((record.account, str(record.video_id)))
    if history is None:
        yield f"was accepted as {record.video_id}, but does not exist"
        return
    state = history.state
    if state == "deleted" and record.follow_up != "delete":
        yield f"{record.video_id} was deleted without a request"
    if state == "cancelled" and record.follow_up != "cancel":
        yield f"{record.video_id} was cancelled without a request"
    if record.follow_up == "delete" and record.follow_up_result not in {"unknown", "deleted"}:
        yield f"deleting {record.video_id} returned {record.follow_up_result}"
    if record.follow_up == "cancel" and record.follow_up_result not in {
        "unknown",
        "cancelled",
        "completed",
    }:
        error = history.final.data.get("error", {}).get("code") if history.final else None
        if record.follow_up_result != error:
            yield f"cancelling {record.video_id} returned {record.follow_up_result}"
    if (
        record.follow_up_result in {"deleted", "cancelled", "completed"}
        and state != record.follow_up_result
    ):
        yield f"{record.video_id} is {state}, but its caller got {record.follow_up_result}"


def _check_refused(
    record: CallerRecord, found: list[History], submit_exits: list[float]
) -> tuple[list[str], int]:
    surviving = [history for history in found if history.state != "deleted"]
    if not surviving:
        return [], 0
    if any(
        record.answered_at - 1 < exited < record.answered_at + WITHDRAW_SECONDS
        for exited in submit_exits
    ):
        return [], 1
    return [f"was refused, but {history.key} is {history.state}" for history in surviving], 0


def _check_poison(verdict: Verdict, record: CallerRecord) -> Iterator[str]:
    if record.outcome != "accepted" or record.interface == "dropped":
        return
    history = verdict.by_key.get((record.account, str(record.video_id)))
    if history is None or history.state != "failed" or history.attempts or history.final is None:
        yield f"{record.video_id} is invalid, but is {history.state if history else 'missing'}"
    elif not history.final.data["error"]["message"]:
        yield f"{record.video_id} failed without a reason"
