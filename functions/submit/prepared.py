"""A request as it will lie in the stream, before anything is stored."""

from __future__ import annotations

from dataclasses import dataclass

from functions.shared.errors import TooLarge
from functions.shared.streams.validation import MAX_EVENT_BYTES, request_hash
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName, Requested
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest


@dataclass(frozen=True)
class Prepared:
    """A request that Mochi can make, and the event that asks for it.

    `digest` is that of what the caller sent, by which it is recognised when it comes again.
    """

    event: VideoEvent
    payload: bytes
    resolved: ResolvedRequest
    digest: str

    @classmethod
    def of(
        cls, key: VideoKey, request: VideoRequest, profile: Profile, digest: str | None = None
    ) -> Prepared:
        """What asks for `request` as the video `key`; its digest if no other is given.

        Raises:
            InvalidRequest: Mochi can't make it.
            TooLarge: with its settings filled in, it is larger than an event may be.
        """
        resolved = ResolvedRequest.resolve(request, profile, key.account, key.video_id)
        digest = digest or request_hash(request)
        data = Requested(**resolved.model_dump(), request_hash=digest)
        event = VideoEvent.new(key, EventName.REQUESTED, data, source=Source.SUBMIT)
        payload = event.to_bytes()
        if len(payload) > MAX_EVENT_BYTES:
            raise TooLarge(
                f"The request has {len(payload)} bytes; at most {MAX_EVENT_BYTES} are taken: "
                "shorten prompt, negative_prompt or metadata"
            )
        return cls(event, payload, resolved, digest)
