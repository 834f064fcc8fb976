"""The requests that a replay need not read: those whose videos have an event.

`dispatch` settles a request once its video has a terminal event. VIDEOS may have lost that event
since. So the videos of the index are counted afterwards, and if they are not as many as the
messages of REQUESTS, all of these are read (`VideoIndex.has_all_requests`).
"""

from __future__ import annotations

from functions.shared.streams.bus import Bus
from functions.shared.subjects import REQUESTS


def settled_requests(bus: Bus) -> int:
    """A sequence of REQUESTS: each request up to it is of a video with a terminal event, or was.

    Raises:
        Unavailable: NATS does not answer.
    """
    # A consumer that was restored without its stream may be ahead of it.
    return min(bus.settled_requests(), bus.last_seq(REQUESTS))
