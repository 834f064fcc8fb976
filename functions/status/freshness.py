"""Whether the index has everything that was stored when a read arrived.

A read that the index answers must not be older than what its caller was told by another process:
that a video was created, cancelled or deleted. So the stream's leader is asked where the stream
ends, and readers wait until the index has got there. Those who ask together share one question, and
the answer holds for a while for those who can do with that.
`docs/decisions/reads-from-the-index.md` says why.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Final

from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Bus, StreamEnd
from functions.shared.timestamps import NANOSECONDS
from functions.status.loss_watch import LossWatch
from functions.status.shared_call import SharedCall

# An index that is behind for longer may lack only what is gone from the stream. It follows within a
# millisecond, or tens of them while every thread has work.
GAP_SECONDS: Final = 0.1
# Between two looks whether what the index lacks is gone from the stream.
GAP_CHECK_SECONDS: Final = 1.0


@dataclass(frozen=True)
class _Answer:
    """The end of a stream, and when, in `time.monotonic()`, the question was asked."""

    asked: float
    end: StreamEnd


class StreamProgress:
    """How far the index has followed one stream. Safe to use from any thread."""

    def __init__(self, bus: Bus, stream: str, subject: str, losses: LossWatch) -> None:
        """The index has nothing yet; it follows what matches `subject` in `stream`.

        `losses` is shown each answer of the leader.
        """
        self._bus = bus
        self._stream = stream
        self._subject = subject
        self._end = SharedCall(self._ask)
        self.losses: Final = losses
        self._changed = threading.Condition()
        self._waiting = 0
        self._applied = 0
        self._created: str | None = None
        self._confirmed: _Answer | None = None
        self._newest: _Answer | None = None
        self._behind_since: float | None = None
        self._gap_checked = 0.0

    def reset(self) -> None:
        """The stream is followed from its start again."""
        with self._changed:
            self._applied, self._created = 0, None
            self._confirmed = self._newest = self._behind_since = None
            self.losses.reset()

    def applied(self, seq: int) -> None:
        """The index has every message up to `seq` that still exists."""
        self._applied = max(self._applied, seq)
        # A reader counts itself before it looks, so that one of both sees the other.
        if self._waiting:
            with self._changed:
                self._changed.notify_all()

    def confirmed(self, patience: float, *, within: float = 0.0) -> int:
        """Wait until the index has everything that was stored before this call.

        Args:
            patience: how long, in seconds, the index may be behind.
            within: or everything that was stored so many seconds before this call, if that is known
                to be the case already.

        Returns:
            JetStream's time, in nanoseconds.

        Raises:
            NoAnswer: NATS does not answer.
            Unavailable: the index is behind for longer, or the stream has no leader.
        """
        known = self._confirmed
        if known is None or time.monotonic() - known.asked >= within:
            known = self._end.result()
            if not self._has(known.end, patience):
                raise Unavailable("The list of videos is behind. Try again.", retry_after=1)
            self._confirmed = known
        return known.end.time + int((time.monotonic() - known.asked) * NANOSECONDS)

    def behind(self, *, within: float) -> int:
        """How many sequences of the stream the index still lacks.

        Compared with an end that the leader told at most `within` seconds ago; it is asked if need
        be.

        Raises:
            Unavailable: see `confirmed`.
        """
        known = self._newest
        if known is None or time.monotonic() - known.asked >= within:
            known = self._end.result()
        missing = max(0, known.end.seq - self._applied)
        return 0 if missing and self._gap_ends_at(known.end.seq) else missing

    def _ask(self) -> _Answer:
        asked = time.monotonic()
        end = self._bus.stream_end(self._stream)
        self.losses.look(end, self._bus.connected_for())
        self._newest = _Answer(asked, end)
        return self._newest

    def _has(self, end: StreamEnd, patience: float) -> bool:
        if self._created is None:
            self._created = end.created
        # Of another stream, or of one that has lost its end, the sequences mean nothing.
        if end.created != self._created:
            return False
        if self._applied < end.seq and not (
            self._wait(end.seq, min(patience, GAP_SECONDS))
            or self._gap_ends_at(end.seq)
            or self._wait(end.seq, patience)
        ):
            return False
        self._behind_since = None
        return True

    def _wait(self, seq: int, patience: float) -> bool:
        with self._changed:
            now = time.monotonic()
            if self._behind_since is None:
                self._behind_since = now
            left = self._behind_since + patience - now
            self._waiting += 1
            try:
                return self._changed.wait_for(lambda: self._applied >= seq, max(0.0, left))
            finally:
                self._waiting -= 1

    def _gap_ends_at(self, seq: int) -> bool:
        """Whether all that the index lacks up to `seq` was removed from the stream."""
        now = time.monotonic()
        with self._changed:
            if now - self._gap_checked < GAP_CHECK_SECONDS:
                return False
            self._gap_checked = now
            after = self._applied
        try:
            missing = self._bus.read_after(self._stream, self._subject, after, max_bytes=1)
        except Unavailable:
            return False
        if not missing:
            self.applied(seq)
        return not missing
