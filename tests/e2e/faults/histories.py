"""What may be said of one video, checked against all that was ever stored about it.

Written from the event schemas and the promises in `docs/faults.md`, and without Kinora's code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.e2e.faults.streams import Stored

FINISHED: Final = frozenset({"completed", "failed", "cancelled"})
FINAL: Final = FINISHED | {"deleted"}
RUNNING: Final = frozenset({"started", "progressed"})
MAX_ATTEMPTS: Final = 3
# A copy in the audit is that much later than its original.
CLOCK_SLACK: Final = 0.25


@dataclass
class History:
    """Everything about one video.

    Attributes:
        key: account and id.
        requests: what REQUESTS ever took, in its order.
        events: what VIDEOS ever took, in its order.
        now: what VIDEOS holds.
        has_request: whether REQUESTS still holds a request.
        unseen: the places in VIDEOS that the audit missed.
    """

    key: tuple[str, str]
    requests: list[Stored] = field(default_factory=list)
    events: list[Stored] = field(default_factory=list)
    now: list[Stored] = field(default_factory=list)
    has_request: bool = False
    unseen: frozenset[int] = frozenset()

    @property
    def final(self) -> Stored | None:
        """The newest event: the video's state."""
        return max(self.now, key=lambda message: message.seq, default=None)

    @property
    def state(self) -> str:
        """The name of the newest event; `queued` if there is none."""
        return self.final.name if self.final else "queued"

    @property
    def attempts(self) -> int:
        """How many attempts were begun."""
        return sum(1 for event in self.events if event.name == "started")

    def check(self) -> Iterator[str]:
        """Say what should not have happened."""
        yield from self._check_end()
        yield from self._check_order()
        yield from self._check_attempts()

    def _check_end(self) -> Iterator[str]:
        if self.state not in FINAL:
            yield f"is {self.state} for ever"
        if self.state == "deleted" and len(self.now) > 1:
            yield f"is deleted, and still has {sorted(m.name for m in self.now)}"
        if self.state == "deleted" and self.has_request:
            yield "is deleted, and its request is still there"
        if self.state == "deleted" and self.final and set(self.final.data) != {"created_at"}:
            yield f"is deleted, and its tombstone says {sorted(self.final.data)}"

    def _check_order(self) -> Iterator[str]:
        finished = [event.name for event in self.events if event.name in FINISHED]
        if len(finished) > 1:
            yield f"ended {len(finished)} times: {finished}"
        over = False
        for event in self.events:
            if over and event.name != "deleted":
                yield f"is {event.name} after its end"
            over = over or event.name in FINAL
        if sum(1 for event in self.events if event.name == "deleted") > 1:
            yield "was deleted twice"

    def _check_attempts(self) -> Iterator[str]:
        before: Stored | None = None
        for event in self.events:
            if event.name not in RUNNING and event.name != "completed":
                continue
            attempt = event.data.get("attempt", 0)
            last = before.data["attempt"] if before else 0
            expected = last + 1 if event.name == "started" else last
            # Only an attempt that is too high: another may have begun between, and nobody saw it.
            in_doubt = attempt > expected and self._may_miss(before, event)
            if attempt > MAX_ATTEMPTS:
                yield f"attempt {attempt} begins after attempt {last}"
            elif not in_doubt:
                yield from _check_follows(before, event)
            before = event

    def _may_miss(self, before: Stored | None, event: Stored) -> bool:
        first = before.seq if before else 0
        return any(first < seq < event.seq for seq in self.unseen)


def _check_follows(before: Stored | None, event: Stored) -> Iterator[str]:
    attempt = event.data.get("attempt", 0)
    last = before.data["attempt"] if before else 0
    if event.name == "started":
        if attempt != last + 1:
            yield f"attempt {attempt} begins after attempt {last}"
        if before is not None:
            yield from _check_takeover(before, event)
    elif attempt != last:
        yield f"attempt {attempt} is {event.name} while attempt {last} runs"
    elif before is not None and event.name == "progressed":
        yield from _check_progress(before, event)


def _check_takeover(before: Stored, started: Stored) -> Iterator[str]:
    lease: dict[str, Any] = before.data["lease"]
    since = started.time - before.time
    if since + CLOCK_SLACK < lease["seconds"]:
        yield f"was taken over {since:.2f} s after a lease of {lease['seconds']} s"


def _check_progress(before: Stored, event: Stored) -> Iterator[str]:
    if event.data["lease"]["id"] != before.data["lease"]["id"]:
        yield "two leases speak of one attempt"
    if event.data["progress"] < before.data.get("progress", 0):
        yield f"falls back from {before.data['progress']} to {event.data['progress']} %"


def histories(
    audits: Iterable[Iterable[Stored]],
    held: Iterable[Iterable[Stored]],
    unseen: frozenset[int],
) -> dict[tuple[str, str], History]:
    """Put together what belongs to each video.

    Args:
        audits: all that REQUESTS, and all that VIDEOS, ever took.
        held: what they hold now.
        unseen: the places in VIDEOS that the audit missed.
    """
    found: dict[tuple[str, str], History] = {}
    by_key: defaultdict[tuple[str, str], dict[str, list[Stored]]] = defaultdict(
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
            unseen,
        )
    return found
