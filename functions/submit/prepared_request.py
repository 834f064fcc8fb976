"""A request that is ready to be published."""

from __future__ import annotations

from dataclasses import dataclass

from functions.shared.errors import TooLarge
from functions.shared.streams.validation import MAX_EVENT_BYTES
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName, Requested
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest
from functions.submit.request_hash import hash_request


@dataclass(frozen=True)
class PreparedRequest:
    """A request within the limits of the model, and the event that requests it.

    `request_hash` is that of what the caller sent; a request that is sent again has the same.
    """

    event: VideoEvent
    payload: bytes
    resolved: ResolvedRequest
    request_hash: str

    @classmethod
    def prepare(
        cls,
        key: VideoKey,
        request: VideoRequest,
        profile: Profile,
        request_hash: str | None = None,
    ) -> PreparedRequest:
        """Resolve `request` as the video `key`; without a `request_hash`, it is computed.

        Raises:
            InvalidRequest: it is outside the limits of the model.
            TooLarge: with its defaults filled in, it is larger than an event may be.
        """
        resolved = ResolvedRequest.resolve(request, profile, key.account, key.video_id)
        request_hash = request_hash or hash_request(request, resolved.num_frames)
        data = Requested(**resolved.as_request(), request_hash=request_hash)
        event = VideoEvent.new(key, EventName.REQUESTED, data, source=Source.SUBMIT)
        payload = event.to_bytes()
        if len(payload) > MAX_EVENT_BYTES:
            raise TooLarge(
                f"The request has {len(payload)} bytes; at most {MAX_EVENT_BYTES} are accepted. "
                "Shorten prompt, negative_prompt or metadata."
            )
        return cls(event, payload, resolved, request_hash)
