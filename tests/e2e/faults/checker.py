"""The checker: streams, bucket and what callers were told must agree. Imports nothing of Kinora's.

It only reads, after everything has come to rest and the sweeper has looked once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.e2e.faults.bucket import Bucket
from tests.e2e.faults.callers import Told
from tests.e2e.faults.histories import History, histories
from tests.e2e.faults.streams import Streams

# How long `submit` may need after its answer to undo a request that it has refused.
UNDO_SECONDS: Final = 60.0
NOT_FOUND: Final = 404


@dataclass
class Verdict:
    """What was found.

    Attributes:
        violations: each a line that names the video.
        states: how many videos ended how.
        ghosts: refused requests whose `submit` was ended before it could undo them.
        by_key: the history of each video.
        missed: stored messages that the audit did not see.
    """

    violations: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    ghosts: int = 0
    by_key: dict[tuple[str, str], History] = field(default_factory=dict)
    missed: int = 0

    @property
    def report(self) -> str:
        """The violations, one a line."""
        return "\n".join(self.violations)


def collect(streams: Streams) -> tuple[dict[tuple[str, str], History], int]:
    """The history of every video, and how many messages of VIDEOS nobody saw."""
    names = ("REQUESTS", "VIDEOS")
    held = [streams.read(name) for name in names]
    audits = [streams.audit(name) for name in names]
    seen = {message.seq for message in audits[1]}
    newest = max((message.seq for message in held[1]), default=0)
    unseen = frozenset(range(1, newest + 1)) - seen
    return histories(audits, held, unseen), len(unseen)


def check(
    streams: Streams, s3: Any, told: Iterable[Told], submit_ended: Iterable[float] = ()
) -> Verdict:
    """Check every video that there is, and every word that a caller was told."""
    verdict = Verdict()
    verdict.by_key, verdict.missed = collect(streams)
    bucket = Bucket(s3)
    heard = list(told)
    fields = {(t.account, t.video_id): t.fields for t in heard if t.entrance != "poison"}
    dropped = {(t.account, t.video_id) for t in heard if t.entrance == "dropped"}
    for key, history in verdict.by_key.items():
        if key in dropped:
            if history.events:
                verdict.violations.append(f"{key}: can't be named, and is {history.state}")
            continue
        verdict.states[history.state] += 1
        for problem in [*history.check(), *bucket.check(history, fields.get(key))]:
            verdict.violations.append(f"{key}: {problem}")
    unknown = {key for key, names in bucket.keys.items() if names} - verdict.by_key.keys()
    verdict.violations += [f"{key}: has objects, and was never asked for" for key in unknown]
    _check_words(verdict, heard, list(submit_ended))
    return verdict


def _check_words(verdict: Verdict, heard: list[Told], submit_ended: list[float]) -> None:
    by_nonce: defaultdict[str, list[History]] = defaultdict(list)
    for history in verdict.by_key.values():
        for nonce in {_nonce(history)} - {None}:
            by_nonce[str(nonce)].append(history)
    for told in heard:
        name = f"{told.entrance} {told.nonce}"
        found = by_nonce[told.nonce]
        if told.entrance in {"poison", "dropped"}:
            problems = list(_check_poison(verdict, told))
        elif told.outcome == "refused" and not told.repeatable:
            problems, ghosts = _check_refused(told, found, submit_ended)
            verdict.ghosts += ghosts
        else:
            problems = list(_check_made(verdict, told, found))
        verdict.violations += [f"{name}: {problem}" for problem in problems]


def _nonce(history: History) -> str | None:
    """What the caller ended the prompt with, so that its video is found again without an id."""
    for request in history.requests:
        # In binary mode the payload is the data itself.
        prompt = request.data.get("prompt") or request.event.get("prompt")
        if isinstance(prompt, str):
            return prompt.rpartition(" ")[2]
    return None


def _check_made(verdict: Verdict, told: Told, found: list[History]) -> Iterator[str]:
    if len(found) > 1:
        yield f"became {len(found)} videos: {[history.key for history in found]}"
    if any(history.key[0] != told.account for history in found):
        yield f"became another account's video: {[history.key for history in found]}"
    if told.outcome == "refused":
        yield "was refused, though nothing is wrong with it"
    if told.outcome == "accepted":
        yield from _check_accepted(verdict, told)
    yield from (f"a stranger was answered {s}" for s in told.foreign if s != NOT_FOUND)


def _check_accepted(verdict: Verdict, told: Told) -> Iterator[str]:
    history = verdict.by_key.get((told.account, str(told.video_id)))
    if history is None:
        yield f"was accepted as {told.video_id}, and is gone"
        return
    state = history.state
    if state == "deleted" and told.asked != "delete":
        yield f"{told.video_id} was deleted, and nobody asked for it"
    if state == "cancelled" and told.asked != "cancel":
        yield f"{told.video_id} was cancelled, and nobody asked for it"
    if told.asked == "delete" and told.ended not in {"doubt", "deleted"}:
        yield f"a delete of {told.video_id} was answered {told.ended}"
    if told.asked == "cancel" and told.ended not in {"doubt", "cancelled", "completed"}:
        error = history.final.data.get("error", {}).get("code") if history.final else None
        if told.ended != error:
            yield f"a cancel of {told.video_id} was answered {told.ended}"
    if told.ended in {"deleted", "cancelled", "completed"} and state != told.ended:
        yield f"{told.video_id} is {state}; its caller was told {told.ended}"


def _check_refused(
    told: Told, found: list[History], submit_ended: list[float]
) -> tuple[list[str], int]:
    lived = [history for history in found if history.state != "deleted"]
    if not lived:
        return [], 0
    if any(told.at - 1 < ended < told.at + UNDO_SECONDS for ended in submit_ended):
        return [], 1
    return [f"was refused, and is {history.key} {history.state}" for history in lived], 0


def _check_poison(verdict: Verdict, told: Told) -> Iterator[str]:
    if told.outcome != "accepted" or told.entrance == "dropped":
        return
    history = verdict.by_key.get((told.account, str(told.video_id)))
    if history is None or history.state != "failed" or history.attempts or history.final is None:
        yield f"{told.video_id} is {history.state if history else 'gone'}, and can't be run"
    elif not history.final.data["error"]["message"]:
        yield f"{told.video_id} failed without a reason"
