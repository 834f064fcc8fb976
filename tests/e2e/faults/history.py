"""Checks the messages that were ever stored about a video.

The rules are derived from the event schemas and the promises in `docs/faults.md`, without
Kinora's code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.e2e.faults.streams import StoredMessage

FINISHED: Final = frozenset({"completed", "failed", "cancelled"})
FINAL: Final = FINISHED | {"deleted"}
RUNNING: Final = frozenset({"started", "progressed"})
MAX_ATTEMPTS: Final = 3
# In the message of an error for which the object store is the reason.
STORE: Final = "object store"
# How much later than its original a copy in the audit may be stored.
CLOCK_SLACK: Final = 0.25


@dataclass
class History:
    """Every message about one video.

    Attributes:
        key: account and id.
        requests: every message that REQUESTS ever stored, in order.
        events: every message that VIDEOS ever stored, in order.
        now: the messages that VIDEOS currently holds.
        has_request: whether REQUESTS still holds a request.
        missed: the sequences of VIDEOS that the audit missed.
    """

    key: tuple[str, str]
    requests: list[StoredMessage] = field(default_factory=list)
    events: list[StoredMessage] = field(default_factory=list)
    now: list[StoredMessage] = field(default_factory=list)
    has_request: bool = False
    missed: frozenset[int] = frozenset()

    @property
    def final(self) -> StoredMessage | None:
        """The newest event, which determines the state, or None."""
        return max(self.now, key=lambda message: message.seq, default=None)

    @property
    def state(self) -> str:
        """The name of the newest event; `queued` if there is none."""
        return self.final.name if self.final else "queued"

    @property
    def attempts(self) -> int:
        """The number of attempts that were started."""
        return sum(1 for event in self.events if event.name == "started")

    def check(self) -> Iterator[str]:
        """Yield the violations."""
        yield from self._check_final_state()
        yield from self._check_order()
        yield from self._check_attempts()
        yield from self._check_store()

    def _check_final_state(self) -> Iterator[str]:
        if self.state not in FINAL:
            yield f"is {self.state}, which is not a final state"
        if self.state == "deleted" and len(self.now) > 1:
            yield f"is deleted, but still has the events {sorted(m.name for m in self.now)}"
        if self.state == "deleted" and self.has_request:
            yield "is deleted, but its request still exists"
        if self.state == "deleted" and self.final:
            # Nothing of what was asked for. What a completed video used is counted on.
            fields = set(self.final.data) - ({"usage"} if self._was_completed else set())
            if fields != {"created_at"}:
                yield f"is deleted, but its tombstone has the fields {sorted(self.final.data)}"

    @property
    def _was_completed(self) -> bool:
        return any(event.name == "completed" for event in self.events)

    def _check_order(self) -> Iterator[str]:
        finished = [event.name for event in self.events if event.name in FINISHED]
        if len(finished) > 1:
            yield f"finished {len(finished)} times: {finished}"
        final = False
        for event in self.events:
            if final and event.name != "deleted":
                yield f"is {event.name} after a final state"
            final = final or event.name in FINAL
        if sum(1 for event in self.events if event.name == "deleted") > 1:
            yield "was deleted twice"

    def _check_store(self) -> Iterator[str]:
        for event in self.events:
            error = event.data.get("error") or {}
            if STORE in error.get("message", ""):
                yield f"attempt {event.data.get('attempt')} was burnt: {error['message']}"

    def _check_attempts(self) -> Iterator[str]:
        before: StoredMessage | None = None
        for event in self.events:
            if event.name not in RUNNING and event.name != "completed":
                continue
            attempt = event.data.get("attempt", 0)
            last = before.data["attempt"] if before else 0
            expected = last + 1 if event.name == "started" else last
            # A number that is too high is accepted if the audit may have missed the attempt before.
            excusable = attempt > expected and self._may_have_missed(before, event)
            if attempt > MAX_ATTEMPTS:
                yield f"attempt {attempt} started after attempt {last}"
            elif not excusable:
                yield from _check_follows(before, event)
            before = event

    def _may_have_missed(self, before: StoredMessage | None, event: StoredMessage) -> bool:
        first = before.seq if before else 0
        return any(first < seq < event.seq for seq in self.missed)


def _check_follows(before: StoredMessage | None, event: StoredMessage) -> Iterator[str]:
    attempt = event.data.get("attempt", 0)
    last = before.data["attempt"] if before else 0
    if event.name == "started":
        if attempt != last + 1:
            yield f"attempt {attempt} started after attempt {last}"
        if before is not None:
            yield from _check_takeover(before, event)
    elif attempt != last:
        yield f"attempt {attempt} is {event.name} during attempt {last}"
    elif before is not None and event.name == "progressed":
        yield from _check_progress(before, event)


def _check_takeover(before: StoredMessage, started: StoredMessage) -> Iterator[str]:
    lease: dict[str, Any] = before.data["lease"]
    since = started.time - before.time
    if since + CLOCK_SLACK < lease["seconds"]:
        yield f"was taken over {since:.2f} s into a lease of {lease['seconds']} s"


def _check_progress(before: StoredMessage, event: StoredMessage) -> Iterator[str]:
    if event.data["lease"]["id"] != before.data["lease"]["id"]:
        yield "one attempt has two leases"
    if event.data["progress"] < before.data.get("progress", 0):
        yield f"progress decreased from {before.data['progress']} to {event.data['progress']} %"


def build_histories(
    audits: Iterable[Iterable[StoredMessage]],
    held: Iterable[Iterable[StoredMessage]],
    missed: frozenset[int],
) -> dict[tuple[str, str], History]:
    """Group the messages by video.

    Args:
        audits: every message that REQUESTS, and that VIDEOS, ever stored.
        held: the messages that they currently hold.
        missed: the sequences of VIDEOS that the audit missed.
    """
    found: dict[tuple[str, str], History] = {}
    by_key: defaultdict[tuple[str, str], dict[str, list[StoredMessage]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for kind, messages in zip(
        ("requests", "events", "request now", "now"), [*audits, *held], strict=True
    ):
        for message in messages:
            by_key[message.account, message.video_id][kind].append(message)
    for key, kinds in by_key.items():
        found[key] = History(
            key,
            kinds["requests"],
            kinds["events"],
            kinds["now"],
            bool(kinds["request now"]),
            missed,
        )
    return found
