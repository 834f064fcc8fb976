"""The event stream of an account's videos, as Server-Sent Events that clients can resume.

The format is that of the HTML standard, section 9.2. An event's id is `<seq in REQUESTS>-<seq in
VIDEOS>`, the position up to which the client has seen both streams, so any replica of `status` can
resume from it. The streams keep the newest message of each subject: events that were superseded in
the meantime are not sent.

Nothing is queued for a client: it reads the tail, which all clients share, and what the tail no
longer has from the streams, a portion at a time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Final

from functions.shared.errors import Unavailable
from functions.shared.subjects import REQUESTS, VIDEOS
from functions.status.feeds.blocks import (
    CUT_OFF,
    CUT_OFF_INSIDE,
    KEEP_ALIVE,
    REVOKED,
    REVOKED_INSIDE,
    event_block,
    position_comment,
    reset_block,
)
from functions.status.feeds.client import PIECE_BYTES, FeedClient
from functions.status.feeds.history import History
from functions.status.feeds.position import FeedPosition
from functions.status.feeds.tail import FellBehindError, Tail, TailReader

log = logging.getLogger(__name__)

# Proxies and browsers close silent connections; the shortest common limit is 30 s.
KEEP_ALIVE_SECONDS: Final = 10.0
# A client that reads nothing for this long is cut off: it holds one of the server's threads.
STALL_SECONDS: Final = 20.0
# A client that reads nothing for this long gives up what was read for it from the streams.
HOLD_SECONDS: Final = 1.0
# Why clients are cut off, as a metric has it.
SLOW: Final = "slow"
KEY_REVOKED: Final = "revoked"
# Between attempts to read from the streams during an outage of NATS.
RETRY_SECONDS: Final = 1.0


class Feed:
    """One open feed: an iterable of bytes to send, which the server closes at the end."""

    def __init__(
        self,
        tail: Tail,
        reader: TailReader,
        history: History,
        client: FeedClient,
        *,
        start: FeedPosition,
        end: FeedPosition,
        may_read: Callable[[], bool],
        on_close: Callable[[], None],
        on_drop: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Send to `client` what is published for `reader` after `start`.

        Args:
            tail: the newest messages of the streams.
            reader: selects the messages.
            history: the same messages, as far as the streams have stored them.
            client: who reads the feed.
            start: the client's position.
            end: the streams' last sequences.
            may_read: whether the client's key still works.
            on_close: called once the feed is closed.
            on_drop: called when the client is cut off: with `SLOW`, or with `KEY_REVOKED`.
        """
        self._tail = tail
        self._reader = reader
        self._client = client
        self._history = history
        self._position = start
        self._end = end
        self._may_read = may_read
        self._revoked = False
        self._on_drop = on_drop
        self._hung_up = False
        self._on_close: list[Callable[[], None]] = [on_close]

    def __iter__(self) -> Iterator[bytes]:
        # Sent at once, so that the client knows that it is connected.
        yield position_comment(str(self._position))
        if not self._end.covers(self._position):
            self._position = self._end
            yield reset_block(str(self._position))
        try:
            while not self._tail.ended:
                if self._hung_up:
                    return
                yield from self._send_while_read()
        except _StalledError as stalled:
            log.info("cut off a client of %s that was not reading", self._reader.account)
            self._on_drop(SLOW)
            yield CUT_OFF_INSIDE if stalled.inside_block else CUT_OFF
        except _RevokedError as revoked:
            log.info("cut off a client of %s whose key no longer works", self._reader.account)
            self._on_drop(KEY_REVOKED)
            yield REVOKED_INSIDE if revoked.inside_block else REVOKED
        else:
            # The client reconnects with this id, and gets everything in the new streams.
            yield reset_block(str(FeedPosition(0, 0)))

    def check_key(self) -> None:
        """End the feed if the client's key no longer works. Call it now and then."""
        if not self._may_read():
            self._revoked = True
            self._reader.wake.set()

    def hang_up(self) -> None:
        """End the feed, as its client has gone: what holds its place is free for others."""
        self._hung_up = True
        self._reader.wake.set()

    def close(self) -> None:
        """Stop reading the streams. Servers call this even if nothing was iterated."""
        self._tail.leave(self._reader)
        while self._on_close:
            self._on_close.pop()()

    def _send_while_read(self) -> Iterator[bytes]:
        """Send blocks; return when the client pauses, without what was read ahead for it."""
        self._await_client(inside_block=False)
        with closing(self._blocks()) as blocks:
            for block in blocks:
                yield block[:PIECE_BYTES]
                for start in range(PIECE_BYTES, len(block), PIECE_BYTES):
                    self._await_client(inside_block=True)
                    yield block[start : start + PIECE_BYTES]
                if not self._client.wait(HOLD_SECONDS):
                    return

    def _await_client(self, *, inside_block: bool) -> None:
        deadline = time.monotonic() + STALL_SECONDS
        while not self._revoked and not self._client.wait(min(HOLD_SECONDS, STALL_SECONDS)):
            if time.monotonic() >= deadline:
                raise _StalledError(inside_block=inside_block)
        if self._revoked:
            raise _RevokedError(inside_block=inside_block)

    def _blocks(self) -> Generator[bytes, None, None]:
        """What the client has not been told yet, until the tail has ended or its key has."""
        while not self._ended:
            try:
                if self._tail.join(self._reader, self._position):
                    yield from self._new()
                else:
                    yield from self._stored()
            except FellBehindError:
                continue
            except Unavailable:
                self._reader.wake.clear()
                self._reader.wake.wait(RETRY_SECONDS)
                yield KEEP_ALIVE

    def _new(self) -> Iterator[bytes]:
        """What comes into the tail."""
        while True:
            self._reader.wake.clear()
            if self._ended:
                return
            entry = self._tail.read(self._reader)
            if entry is None:
                if not self._reader.wake.wait(KEEP_ALIVE_SECONDS):
                    yield KEEP_ALIVE
            elif self._advance(entry.stream, entry.seq):
                fields = self._tail.fields(entry)
                if fields:
                    yield event_block(str(self._position), fields)

    def _stored(self) -> Iterator[bytes]:
        """What came before the messages of the tail, as far as the tail has come by now."""
        kept_after, reached = self._tail.bounds()
        for position, text in self._history.read(self._position, reached):
            self._position = position
            if text:
                yield text
            if self._ended:
                return
        # Nothing was left out up to here. What was published since is in the tail.
        for stream in (REQUESTS, VIDEOS):
            self._advance(stream, kept_after.seq(stream))

    @property
    def _ended(self) -> bool:
        return self._revoked or self._hung_up or self._tail.ended

    def _advance(self, stream: str, seq: int) -> bool:
        """Move on to a message; False if the client has seen it."""
        before = self._position
        self._position = before.advanced(stream, seq)
        return self._position != before


class _CutOffError(Exception):
    """The client gets nothing more, perhaps in the middle of a block."""

    def __init__(self, *, inside_block: bool) -> None:
        super().__init__()
        self.inside_block = inside_block


class _StalledError(_CutOffError):
    """The client does not read."""


class _RevokedError(_CutOffError):
    """The client's key no longer works."""
