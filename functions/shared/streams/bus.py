"""The interface to JetStream that Kinora needs, as Protocols.

`functions.shared.streams.jetstream.JetStream` implements it for real servers, and
`tests.fakes.MemoryBus` in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message. `time` is JetStream's timestamp, in nanoseconds since the epoch."""

    subject: str
    seq: int
    time: int
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StreamEnd:
    """Where a stream ended when its leader was asked.

    Attributes:
        created: when the stream was created; one that is recreated has another time.
        seq: the last sequence; 0 if nothing was ever stored.
        time: JetStream's time of the answer, in nanoseconds since the epoch.
        messages: how many messages the stream holds.
        oldest: the time of the first one; in the distant past if there is none.
        size: of all messages on disk, in bytes.
        max_size: its limit; None without one.
    """

    created: str
    seq: int
    time: int
    messages: int
    oldest: int
    size: int = 0
    max_size: int | None = None


class Delivery(Protocol):
    """A message that a durable consumer delivered to this process, which has to settle it."""

    @property
    def message(self) -> Message:
        """The delivered message."""

    def ack(self) -> None:
        """Acknowledge it, so that it is not redelivered; wait for the server's confirmation.

        Raises:
            Unavailable: no confirmation came; the message will be redelivered.
        """

    def nak(self, delay: float) -> None:
        """Return it, to be redelivered after `delay` seconds; it occupies its slot until then.

        Raises:
            Unavailable: there is no connection, so the server was not told.
        """

    def term(self, reason: str) -> None:
        """Settle it as impossible to process, so that it is not redelivered.

        Raises:
            Unavailable: there is no connection, so the server was not told.
        """

    def in_progress(self) -> None:
        """Restart the `ack_wait` timer."""


class Source(Protocol):
    """One slot's subscription to a durable consumer."""

    def fetch(self, timeout: float) -> Delivery | None:
        """The next message, or None if none came within `timeout` seconds.

        Raises:
            Unavailable: NATS can't be reached.
        """


class Bus(Protocol):
    """The streams REQUESTS, VIDEOS, TURNS and QUEUE. Every method is safe to call from any thread.

    Every method raises `Unavailable` when NATS does not answer in time.
    """

    def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        expected: int,
        expected_filter: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Store a message if `expected` is the last sequence on `expected_filter` (or `subject`).

        Args:
            subject: where to publish.
            payload: the message's data.
            expected: a sequence of the stream; 0 expects no message.
            expected_filter: the subject filter that `expected` refers to; `subject` if None.
            headers: the message's headers.

        Returns:
            The message's sequence in its stream.

        Raises:
            SequenceConflict: another message is the last one, or another publish is being
                processed; nothing was stored.
            OutcomeUnknown: no answer came; the message may be stored, now or later.
            QueueFull: the stream is at its limit.
            TooLarge: the server would refuse the message for its size.
        """

    def get_last_message(self, stream: str, subject: str, *, leader: bool) -> Message | None:
        """The last message on `subject`, which may have wildcards; None if there is none.

        Decisions need the leader's answer: without `leader` any replica may answer a direct get,
        and it may be stale.
        """

    def get_message(self, stream: str, seq: int) -> Message | None:
        """The message with this sequence, from the stream's leader; None if it is gone."""

    def purge(self, stream: str, subject: str, *, below: int | None = None) -> None:
        """Remove all messages on `subject`, or those with a sequence lower than `below`."""

    def list_subjects(self, stream: str, filter_subject: str) -> list[str]:
        """The subjects of `stream` that match the filter and have a message."""

    def now(self) -> int:
        """JetStream's current time, in nanoseconds since the epoch."""

    def count_after(self, stream: str, subject: str, after: int) -> int:
        """How many messages with a sequence above `after` match the filter.

        Any replica may answer, and it may lag behind.
        """

    def check(self) -> None:
        """Return if VIDEOS and the consumer of TURNS exist and NATS answers."""

    def check_writes(self) -> None:
        """Return if REQUESTS and VIDEOS store what is published.

        Raises:
            NotStored: a write to a server's disk failed, after which the stream stores nothing
                until the server restarts.
            Unavailable: NATS does not answer.
        """

    def turn_source(self) -> Source:
        """A new subscription to the consumer of TURNS; each slot needs its own."""

    def follow(
        self,
        stream: str,
        on_message: Callable[[Message], None],
        on_caught_up: Callable[[], None],
        on_stream_recreated: Callable[[], None],
        *,
        subject: str | None = None,
        after: int = 0,
    ) -> Callable[[], None]:
        """Replay what matches `subject` after the sequence `after`, then follow new messages.

        Messages come in stream order, each once; every message that still exists is delivered.

        Args:
            stream: which stream.
            on_message: takes each message.
            on_caught_up: called once everything that was stored before has been replayed.
            on_stream_recreated: called when the stream turns out to be another one, after a loss
                of the servers' data or a restore from a backup. Earlier messages may no longer
                hold, and no more will come. Must return at once, and call no method of the bus.
            subject: the subject filter; all of Kinora's subjects if None.
            after: the last sequence already seen.

        Returns:
            A function that stops following.
        """

    def read_after(self, stream: str, subject: str, after: int, *, max_bytes: int) -> list[Message]:
        """The first messages with a sequence above `after` that match the filter, in stream order.

        Args:
            stream: which stream.
            subject: the subject filter.
            after: the last sequence already read.
            max_bytes: the message that reaches this size is the last.

        Returns:
            Messages, of which none is left out; empty only if the stream's leader has none.
        """

    def stream_end(self, stream: str) -> StreamEnd:
        """The end of `stream`, according to its leader: all that is acknowledged is before it."""

    def last_seq(self, stream: str) -> int:
        """The last sequence stored in `stream`; 0 if it is empty."""

    def message_count(self, stream: str) -> int:
        """How many messages `stream` holds, according to its leader."""

    def watch(self, subject: str, on_message: Callable[[str], None]) -> Callable[[], None]:
        """Call `on_message` with the subject of each publish on `subject` from now on.

        A hint only: it is lost while there is no connection, it may come before the message is
        stored, and it also comes for publishes that the stream refuses.

        Returns:
            A function that stops watching.
        """

    def connected_for(self) -> float:
        """Seconds since the connection was last established; 0 while there is none."""

    def close(self) -> None:
        """Close the connection."""
