"""Reads the request of a video from the stream REQUESTS."""

from __future__ import annotations

from functions.shared.errors import VideoNotFound
from functions.shared.streams.bus import Bus, Message
from functions.shared.subjects import REQUESTS, VideoKey


def find_request(bus: Bus, key: VideoKey) -> Message | None:
    """The message that requests the video, as the stream's leader knows it; None without one.

    Raises:
        Unavailable: NATS did not answer.
    """
    return bus.get_last_message(REQUESTS, key.request_subject, leader=True)


def get_request(bus: Bus, key: VideoKey) -> Message:
    """The message that requests the video.

    Raises:
        VideoNotFound: there is none.
        Unavailable: NATS did not answer.
    """
    message = find_request(bus, key)
    if message is None:
        raise VideoNotFound
    return message
