"""What Kinora needs of JetStream, as one Protocol: the real one and the in-memory one fulfil it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Message:
    """A stored message. `time` is JetStream's, in nanoseconds since the epoch."""

    subject: str
    seq: int
    time: int
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Delivery(Protocol):
    """A request that this process has taken from the consumer, until it settles it."""

    @property
    def message(self) -> Message:
        """The request itself."""

    def ack(self) -> None:
        """Settle it for good, and wait until the server has taken note.

        Raises:
            Unavailable: no confirmation came; the request will be delivered again.
        """

    def nak(self, delay: float) -> None:
        """Give it back, to be delivered again after `delay` seconds (which holds its slot).

        Raises:
            Unavailable: there is no connection, so the server has not heard of it.
        """

    def term(self, reason: str) -> None:
        """Settle it as impossible to process.

        Raises:
            Unavailable: there is no connection, so the server has not heard of it.
        """

    def in_progress(self) -> None:
        """Ask for another `ack_wait` of time."""


class RequestSource(Protocol):
    """One slot's place at the durable consumer of REQUESTS."""

    def fetch(self, timeout: float) -> Delivery | None:
        """Take the next request, or None if there was none for `timeout` seconds.

        Raises:
            Unavailable: NATS can't be asked.
        """


class Bus(Protocol):
    """The streams REQUESTS and VIDEOS. Every method may be called from any thread.

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
        """Store a message if the newest on `expected_filter` (else `subject`) is `expected`.

        Returns:
            The message's sequence in its stream.

        Raises:
            SequenceConflict: it is not, or another publish is in process: nothing was stored.
            OutcomeUnknown: no answer came; the message may be stored, now or later.
            QueueFull: the stream is at its size limit.
            TooLarge: the server would refuse the message for its size.
        """

    def newest(self, stream: str, subject: str, *, leader: bool) -> Message | None:
        """The newest message on `subject` (wildcards allowed).

        Only a leader's answer decides anything: a direct get may be stale in a cluster.
        """

    def at(self, stream: str, seq: int) -> Message | None:
        """The message with this sequence, by a leader get, or None if it is gone."""

    def purge(self, stream: str, subject: str, *, below: int | None = None) -> None:
        """Remove all messages on `subject`, or those with a sequence lower than `below`."""

    def subjects(self, stream: str, filter_subject: str) -> list[str]:
        """Every subject of `stream` that matches the filter and has a message."""

    def now(self) -> int:
        """JetStream's own time, in nanoseconds since the epoch."""

    def backlog(self) -> int:
        """Requests that wait for, or are at, the consumer of `dispatch`."""

    def waiting(self, account: str) -> int:
        """Requests of `account` that the consumer of `dispatch` was never given."""

    def check(self) -> None:
        """Return if both streams and the consumer are there and answer."""

    def requests(self) -> RequestSource:
        """A place at the consumer of REQUESTS; make one for each slot."""

    def follow(
        self,
        stream: str,
        on_message: Callable[[Message], None],
        on_caught_up: Callable[[], None],
        on_begun_anew: Callable[[], None],
        *,
        subject: str | None = None,
        after: int = 0,
    ) -> Callable[[], None]:
        """Replay what matches `subject` after the sequence `after`, and then follow it for ever.

        Messages come in the order of the stream, each once; none is left out that still exists.

        Args:
            stream: which stream.
            on_message: takes each message.
            on_caught_up: called when everything that was there has been replayed.
            on_begun_anew: called when the stream turns out to be another one, after a loss of the
                servers' data or from a back-up. What was told before may no longer be so, and the
                following has ended. Must return at once, and call nothing of the bus.
            subject: what to follow; everything of Kinora's if not given.
            after: the sequence that was seen last.

        Returns:
            A function that ends the following.
        """

    def last_seq(self, stream: str) -> int:
        """The sequence of the last message that was stored in `stream`; 0 for none."""

    def watch(self, subject: str, on_message: Callable[[str], None]) -> Callable[[], None]:
        """Call `on_message` with the subject of whatever is published on `subject` from now on.

        A hint only: it also comes for publishes that the stream refuses, may come before the stream
        has stored the message, and is lost while there is no connection.

        Returns:
            A function that ends the watching.
        """

    def connected_for(self) -> float:
        """Seconds since the connection was last made; 0 while there is none."""

    def close(self) -> None:
        """Give up the connection."""
