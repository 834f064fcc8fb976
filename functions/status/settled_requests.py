"""The requests that a replay need not read: those whose videos have an event.

`dispatch` settles a request once its video has a terminal event, so of the requests up to the one
that it settled last, NATS is asked only for the subjects. A request whose event VIDEOS has lost is
among them, and is read alone.
"""

from __future__ import annotations

from typing import Final

from functions.shared.streams.bus import Bus
from functions.shared.subjects import ALL_REQUESTS, REQUESTS
from functions.status.index import VideoIndex

# Reading so many one by one takes half a second; more of them are read as a stream.
MAX_LACKING: Final = 1000


def settled_requests(bus: Bus) -> int:
    """A sequence of REQUESTS: each request up to it is of a video with a terminal event, or was.

    Raises:
        Unavailable: NATS does not answer.
    """
    # A consumer that was restored without its stream may be ahead of it.
    return min(bus.settled_requests(), bus.last_seq(REQUESTS))


def add_lacking(bus: Bus, index: VideoIndex) -> bool:
    """Apply the stored requests whose videos `index`, which is being replayed, does not have.

    Returns:
        False if there are too many of them.

    Raises:
        Unavailable: NATS does not answer.
        sqlite3.Error: see `VideoIndex.finish_replay`.
    """
    lacking = index.lacking(bus.list_subjects(REQUESTS, ALL_REQUESTS))
    if len(lacking) > MAX_LACKING:
        return False
    for subject in lacking:
        message = bus.get_last_message(REQUESTS, subject, leader=True)
        if message is not None:
            index.apply_request(message)
    return True
