"""What the streams have stored for one client, read as the client reads it."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from typing import Final

from functions.shared.streams.bus import Bus, Message
from functions.shared.subjects import REQUESTS, VIDEOS, subject_filters
from functions.status.feeds.blocks import KEEP_ALIVE, event_block, event_fields
from functions.status.feeds.position import FeedPosition

# Of one stream, in memory for one client.
PORTION_BYTES: Final = 64 << 10
# Of messages, told together; half of what can be sent at once, as events grow when they are told.
TEXT_BYTES: Final = 32 << 10


class History:
    """The stored messages of an account's videos, or of one of them."""

    def __init__(
        self,
        bus: Bus,
        account: str,
        video_id: str | None,
        *,
        turns: threading.Semaphore,
        turn_seconds: float,
    ) -> None:
        """Read from `bus`.

        Args:
            bus: the streams.
            account: whose videos.
            video_id: the only one of them, or None.
            turns: acquired while messages are read and rendered, which takes processor time.
            turn_seconds: how long to wait for a turn before a keep-alive.
        """
        self._bus = bus
        self._subjects = dict(
            zip((REQUESTS, VIDEOS), subject_filters(account, video_id), strict=True)
        )
        self._turns = turns
        self._turn_seconds = turn_seconds

    def read(
        self, after: FeedPosition, until: FeedPosition
    ) -> Iterator[tuple[FeedPosition, bytes]]:
        """Blocks of all messages after one position until another, in the order of time.

        Yields:
            A position, and the text that leads to it.

        Raises:
            Unavailable: NATS does not answer; what follows the last position was not read.
        """
        parts = [
            self._messages(stream, after.seq(stream), until.seq(stream))
            for stream in (REQUESTS, VIDEOS)
        ]
        messages = heapq.merge(*parts, key=lambda part: part[1].time)
        while True:
            if not self._turns.acquire(timeout=self._turn_seconds):
                yield after, KEEP_ALIVE
                continue
            try:
                reached, text = _rendered(messages, after)
            finally:
                self._turns.release()
            if reached == after:
                return
            after = reached
            yield after, text

    def _messages(self, stream: str, after: int, until: int) -> Iterator[tuple[str, Message]]:
        while after < until:
            portion = self._bus.read_after(
                stream, self._subjects[stream], after, max_bytes=PORTION_BYTES
            )
            if not portion:
                return
            after = portion[-1].seq
            yield from ((stream, message) for message in portion if message.seq <= until)


def _rendered(
    messages: Iterator[tuple[str, Message]], position: FeedPosition
) -> tuple[FeedPosition, bytes]:
    """The next blocks; the same position at the end of the messages."""
    blocks: list[bytes] = []
    size = 0
    for stream, message in messages:
        position = position.advanced(stream, message.seq)
        fields = event_fields(stream, message)
        if fields:
            blocks.append(event_block(str(position), fields))
        size += len(message.data)
        if size >= TEXT_BYTES:
            break
    return position, b"".join(blocks)
