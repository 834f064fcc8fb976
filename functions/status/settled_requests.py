"""The requests that a replay need not read: those whose videos have an event.

`dispatch` writes down that a request is settled once its video has a terminal event. VIDEOS may
have lost that event since. So the videos of the index are counted afterwards, and if they are not
as many as the messages of REQUESTS, all of these are read (`VideoIndex.has_all_requests`).
"""

from __future__ import annotations

from functions.shared.streams.bus import Bus
from functions.shared.streams.queue_state import read_queue_state


def settled_requests(bus: Bus) -> int:
    """A sequence of REQUESTS: each request up to it is of a video with a terminal event, or was.

    Raises:
        Unavailable: NATS does not answer.
    """
    return read_queue_state(bus).settled_up_to
