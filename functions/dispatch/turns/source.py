"""Turns, as deliveries of the requests that they carry."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from functions.shared.errors import InvalidRequest, Unavailable
from functions.shared.streams.bus import Bus, Delivery, Message, Source
from functions.shared.subjects import REQUESTS, VideoKey

log = logging.getLogger(__name__)


class TurnSource:
    """A `Source` of requests whose turn it is; each slot needs its own."""

    def __init__(
        self,
        bus: Bus,
        *,
        is_settled: Callable[[VideoKey, int], bool],
        on_settled: Callable[[VideoKey, int], None],
    ) -> None:
        """Pull turns from `bus`.

        Args:
            bus: the streams.
            is_settled: whether the video of a request, by its sequence, is known to have ended.
            on_settled: called when a request needs no other turn.
        """
        self._bus = bus
        self._turns: Source = bus.turn_source()
        self._is_settled = is_settled
        self._on_settled = on_settled

    def fetch(self, timeout: float) -> Delivery | None:
        """The next request, or None if none came in time; see `Source.fetch`.

        A turn is only a hint: one whose request is gone, or whose video has ended, is dropped.
        """
        turn = self._turns.fetch(timeout)
        if turn is None:
            return None
        try:
            key, seq = _read(turn.message)
        except (InvalidRequest, ValueError) as problem:
            log.warning("dropped: %s is no turn: %s", turn.message.subject, problem)
            turn.term("no turn")
            return None
        try:
            request = None if self._is_settled(key, seq) else self._bus.get_message(REQUESTS, seq)
        except Unavailable:
            # Unsettled, it would hold its place for `ack_wait`.
            with contextlib.suppress(Unavailable):
                turn.nak(1)
            raise
        if request is None or request.subject != key.request_subject:
            turn.ack()
            self._on_settled(key, seq)
            return None
        return RequestDelivery(request, turn, lambda: self._on_settled(key, seq))


@dataclass(frozen=True, eq=False)
class RequestDelivery:
    """A `Delivery` of a request, settled with its turn; then `on_settled` is called."""

    message: Message
    turn: Delivery
    on_settled: Callable[[], None]

    def ack(self) -> None:
        """See `Delivery.ack`."""
        self.turn.ack()
        self.on_settled()

    def nak(self, delay: float) -> None:
        """See `Delivery.nak`."""
        self.turn.nak(delay)

    def term(self, reason: str) -> None:
        """See `Delivery.term`."""
        self.turn.term(reason)
        self.on_settled()

    def in_progress(self) -> None:
        """See `Delivery.in_progress`."""
        self.turn.in_progress()


def _read(turn: Message) -> tuple[VideoKey, int]:
    return VideoKey.from_subject(turn.subject), int(turn.data)
