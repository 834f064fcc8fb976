"""Opens event streams, up to limits."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

from functions.shared.errors import TooManyStreams, Unavailable
from functions.shared.streams.bus import Bus
from functions.shared.subjects import REQUESTS, VIDEOS
from functions.status.feeds.client import FeedClient
from functions.status.feeds.feed import Feed
from functions.status.feeds.hang_ups import HangUps
from functions.status.feeds.history import History
from functions.status.feeds.position import FeedPosition
from functions.status.feeds.tail import Tail, TailReader
from functions.status.openings import Openings

# Of the newest messages, for all clients together. Clients that are further behind read from the
# streams.
TAIL_BYTES: Final = 8 << 20
# Clients for which old messages are read and rendered at a time: one waits for NATS while the other
# computes. With more, Python would let all other requests wait for them.
HISTORY_TURNS: Final = 2
# Until a client that waits for its turn gets a keep-alive, and its key is looked at again.
TURN_SECONDS: Final = 3.0


class Feeds:
    """Opens feeds, up to a limit: each holds one of the server's threads."""

    def __init__(
        self,
        bus: Bus,
        *,
        max_open: int,
        max_of_account: int,
        tail_bytes: int = TAIL_BYTES,
        on_drop: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Allow `max_open` feeds at a time, and `max_of_account` to each account.

        `on_drop` is called with the reason when a feed is cut off; see `Feed`.
        """
        self._bus = bus
        self._max_open = max_open
        self._max_of_account = max_of_account
        self._tail_bytes = tail_bytes
        self._on_drop = on_drop
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()
        self._feeds: set[Feed] = set()
        self._tail: Tail | None = None
        self._turns = threading.Semaphore(HISTORY_TURNS)
        self._openings = Openings()
        self._hang_ups = HangUps()

    @property
    def open_count(self) -> int:
        """How many feeds are open."""
        with self._lock:
            return self._open.total()

    def check_keys(self) -> None:
        """End the feeds of clients whose keys no longer work. Call it now and then."""
        with self._lock:
            feeds = [*self._feeds]
        for feed in feeds:
            feed.check_key()

    def open(
        self,
        account: str,
        video_id: str | None,
        last_event_id: str | None,
        client: FeedClient,
        *,
        may_read: Callable[[], bool],
        check: Callable[[], object] = lambda: None,
    ) -> Feed:
        """A feed of all videos of an account, or of one, for `client`.

        Without `last_event_id`, or with an empty one, it starts with the next event. It ends once
        `may_read`, which says whether the client's key still works, is false. `check` is called
        once there is room for the feed; what it raises ends the opening.

        Raises:
            InvalidRequest: `last_event_id` or `video_id` is invalid.
            TooManyStreams: the account has too many open feeds.
            Unavailable: too many feeds are open, or NATS does not answer.
        """
        with self._lock:
            # First of all: what is refused asks nothing of NATS.
            self._check_limits(account)
            self._open[account] += 1
        try:
            with self._openings.turn():
                check()
                end = FeedPosition(self._bus.last_seq(REQUESTS), self._bus.last_seq(VIDEOS))
                start = FeedPosition.parse(last_event_id) if last_event_id else end
                history = History(
                    self._bus, account, video_id, turns=self._turns, turn_seconds=TURN_SECONDS
                )
                with self._lock:
                    tail = self._tail_after(end)
        except BaseException:
            with self._lock:
                self._forget(account)
            raise
        feed = Feed(
            tail,
            TailReader(account, video_id),
            history,
            client,
            start=start,
            end=end,
            may_read=may_read,
            on_close=lambda: self._release(account, feed, client),
            on_drop=self._on_drop,
        )
        with self._lock:
            self._feeds.add(feed)
        if client.fileno is not None:
            self._hang_ups.watch(client.fileno, feed.hang_up)
        return feed

    def _check_limits(self, account: str) -> None:
        if self._open.total() >= self._max_open:
            raise Unavailable("Too many event streams are open. Try again.", retry_after=10)
        if self._open[account] >= self._max_of_account:
            raise TooManyStreams

    def _tail_after(self, end: FeedPosition) -> Tail:
        """The tail; a new one for the first feed, and after the streams were recreated."""
        if self._tail is None or self._tail.ended:
            if self._tail is not None:
                self._tail.stop()
            tail = Tail(self._bus, end, max_bytes=self._tail_bytes)
            try:
                tail.start()
            except Unavailable:
                tail.stop()
                raise
            self._tail = tail
        return self._tail

    def _release(self, account: str, feed: Feed, client: FeedClient) -> None:
        if client.fileno is not None:
            self._hang_ups.forget(client.fileno)
        with self._lock:
            self._feeds.discard(feed)
            self._forget(account)

    def _forget(self, account: str) -> None:
        self._open[account] -= 1
        if not self._open[account]:
            del self._open[account]
