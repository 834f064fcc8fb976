"""Reads that the index answers, as fresh as those that JetStream's leader answers."""

from __future__ import annotations

import json
from typing import Final

from functions.shared.api.read_window import READ_WINDOW_SECONDS
from functions.shared.errors import NoAnswer, Unavailable
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.timestamps import DAY_SECONDS, NANOSECONDS
from functions.status.index import VideoIndex
from functions.status.listing.filters import Filters
from functions.status.replay import Replay
from functions.status.usage import DayOfAccount

# How long the index may be behind. It follows within a millisecond, or tens of them while every
# thread has work. A single video can be read from NATS instead, a list can't.
VIDEO_PATIENCE_SECONDS: Final = 0.1
LIST_PATIENCE_SECONDS: Final = 2.0


class IndexReads:
    """Reads videos from the index, once it has all that was stored before the read."""

    def __init__(self, index: VideoIndex, replay: Replay, *, max_age_days: int) -> None:
        """Read from `index`, which `replay` keeps in step; videos expire after `max_age_days`."""
        self._index = index
        self._replay = replay
        self._max_age = max_age_days * DAY_SECONDS * NANOSECONDS

    def video(self, key: VideoKey) -> bytes | None:
        """A video as JSON; None if the index can't tell, so that NATS has to be asked.

        That is so for a video that it does not have, or that was deleted, while the index is
        behind, and while the stream may have lost something.

        Raises:
            NoAnswer: NATS does not answer.
        """
        if not self._index.answers.has(key):
            return None
        try:
            now = self._replay.confirmed(VIDEOS, VIDEO_PATIENCE_SECONDS, within=READ_WINDOW_SECONDS)
        except NoAnswer:
            raise
        except Unavailable:
            return None
        if self._replay.suspects_loss():
            return None
        return self._index.answers.video(key, now=now, since=now - self._max_age)

    def usage(self, account: str | None) -> list[DayOfAccount]:
        """What an account used, or all of them; see `UsageByDay.read`.

        Raises:
            Unavailable: as `page`.
        """
        now = self._replay.confirmed(VIDEOS, LIST_PATIENCE_SECONDS, within=READ_WINDOW_SECONDS)
        return self._index.usage.read(account, now)

    def page(
        self, account: str, *, after: str | None, limit: int, newest_first: bool, filters: Filters
    ) -> bytes:
        """A page of the list as JSON; see `VideoIndex.read_page`.

        Raises:
            InvalidRequest: see `VideoIndex.read_page`.
            Unavailable: the streams are being replayed, the index is behind, or NATS does not
                answer.
        """
        # Creating a video does not wait for the window to pass.
        self._replay.confirmed(REQUESTS, LIST_PATIENCE_SECONDS)
        now = self._replay.confirmed(VIDEOS, LIST_PATIENCE_SECONDS, within=READ_WINDOW_SECONDS)
        page = self._index.read_page(
            account,
            after=after,
            limit=limit,
            newest_first=newest_first,
            since=now - self._max_age,
            now=now,
            filters=filters,
        )
        ends = {
            "first_id": page.ids[0] if page.ids else None,
            "last_id": page.ids[-1] if page.ids else None,
            "has_more": page.has_more,
        }
        rest = json.dumps(ends, separators=(",", ":")).encode()[1:]
        return b'{"object":"list","data":[%b],%b' % (b",".join(page.texts), rest)
