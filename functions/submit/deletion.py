"""Deleting videos, and the tombstones that keep them deleted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from functions.shared.api.read_window import Visible
from functions.shared.api.thread_share import ThreadShare
from functions.shared.storage import Store
from functions.shared.streams.bus import Bus
from functions.shared.streams.ledger import Ledger, LostRace
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.streams.video_state import Snapshot, VideoState
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.timestamps import format_rfc3339
from functions.shared.video.events import Completed, Deleted, EventName, Usage
from functions.shared.video.usage import usage_of
from functions.submit.stored_request import get_request
from functions.submit.stream_writes import StreamWrites


class Deletions:
    """Deletes videos in any state. Safe to use from any thread."""

    def __init__(
        self,
        bus: Bus,
        ledger: Ledger,
        store: Store,
        writes: StreamWrites,
        share: ThreadShare,
        *,
        deadline: float,
    ) -> None:
        """Stop retrying `deadline` seconds after a call started, or when `writes` says so.

        `share` bounds how many run.
        """
        self._bus = bus
        self._ledger = ledger
        self._store = store
        self._writes = writes
        self._share = share
        self._deadline = deadline

    def delete(self, key: VideoKey) -> None:
        """Delete a video and its files, in any state. Idempotent: a retry completes the work.

        Raises:
            VideoNotFound: the video never existed, or has expired.
            NotStored: NATS stores nothing, so nothing was deleted.
            Unavailable: something could not be removed. Deleting again removes the rest. Or too
                many deletions wait for the store; then nothing was done.
        """
        self._share.enter()
        try:
            visible = self._delete(key)
        finally:
            self._share.leave()
        visible.wait()

    def _delete(self, key: VideoKey) -> Visible:
        deadline = time.monotonic() + self._deadline
        state = self._ledger.read(key)
        if not state.deleted:
            self._writes.check()
        with self._writes.publishing():
            tombstone = publish_tombstone(
                self._ledger,
                state,
                created_at=self._created_at,
                deadline=deadline,
                give_up=self._writes.stopped,
            )
        visible = Visible()
        self._store.delete_prefix(key.object_prefix)
        self._bus.purge(REQUESTS, key.request_subject)
        # The tombstone stays: without it, an older event would be the newest again.
        self._bus.purge(VIDEOS, key.events_filter, below=tombstone.seq)
        return visible

    def _created_at(self, state: VideoState) -> str:
        # An unreadable video can be deleted too. Its request may be gone.
        if isinstance(state, Snapshot) and state.unreadable:
            return format_rfc3339(state.time)
        return format_rfc3339(get_request(self._bus, state.key).time)


def publish_tombstone(
    ledger: Ledger,
    state: VideoState,
    *,
    created_at: Callable[[VideoState], str],
    deadline: float | None = None,
    give_up: threading.Event | None = None,
) -> VideoState:
    """Make `deleted` the newest event of a video, whatever happens to the video meanwhile.

    Args:
        ledger: where the event is published.
        state: what is known of the video.
        created_at: returns the event's `created_at` if the video's newest event does not carry it.
        deadline: `time.monotonic()` at which to stop retrying; None retries for ever.
        give_up: stops the retrying once it is set.

    Returns:
        The state of the deleted video.

    Raises:
        OutcomeUnknown: the deadline passed, or `give_up` was set, first.
    """
    while not state.deleted:
        data = Deleted(created_at=state.created_at or created_at(state), usage=_usage(state))
        event = VideoEvent.new(state.key, EventName.DELETED, data, source=Source.SUBMIT)
        try:
            return ledger.publish(state, event, deadline=deadline, give_up=give_up)
        except LostRace as lost:
            state = lost.newest
    return state


def _usage(state: VideoState) -> Usage | None:
    if isinstance(state, Snapshot) and isinstance(state.data, Completed):
        return usage_of(state.data, state.time)
    return None
