"""Remixing a video: the same settings and seed with another prompt."""

from __future__ import annotations

from typing import Final

from functions.shared.errors import InvalidRequest, VideoNotFound
from functions.shared.streams.bus import Bus
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.validation import read_request
from functions.shared.subjects import VideoKey
from functions.shared.video.events import VideoData
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import RemixedRequest, RemixRequest, ResolvedRequest
from functions.submit.request_hash import hash_request
from functions.submit.stored_request import find_request
from functions.submit.submission import Accepted, Submissions

# Fields that a remix does not take over from its source.
# The last four tell of another request.
_NOT_COPIED: Final = {
    "prompt",
    "model",
    "priority",
    "user",
    "remixed_from_video_id",
    "ignored_seconds",
}


class Remixes:
    """Submits remixes. Safe to use from any thread."""

    def __init__(
        self, bus: Bus, ledger: Ledger, profile: Profile, submissions: Submissions
    ) -> None:
        """Read sources from `bus`, and submit remixes to `submissions`."""
        self._bus = bus
        self._ledger = ledger
        self._profile = profile
        self._submissions = submissions

    def remix(
        self, key: VideoKey, source: VideoKey, requested: RemixRequest, *, idempotent: bool
    ) -> Accepted:
        """Submit a remix of `source` as the video `key`. The source may be in any state.

        Raises:
            VideoNotFound: the source does not exist or was deleted, and this remix was not
                submitted before.
            InvalidRequest: the source never had valid settings, or the deployed model can't make
                them any more.
            KinoraError: see `Submissions.submit`.
        """
        sent = requested.model_dump(exclude_none=True) | {"remixed_from_video_id": source.video_id}
        # Without the source's settings: a retry has the same hash when the source is gone.
        # Empty metadata are the caller's choice; without any, the source's are kept.
        sent_hash = hash_request(RemixedRequest(**sent), None, kept={"metadata"})
        if idempotent and (earlier := self._submissions.find(key, sent_hash)) is not None:
            return earlier
        copied = self._settings(source).model_dump(exclude=_NOT_COPIED)
        request = RemixedRequest(**{**copied, **sent})
        return self._submissions.submit(key, request, idempotent=idempotent, request_hash=sent_hash)

    def _settings(self, source: VideoKey) -> ResolvedRequest:
        snapshot = self._ledger.read(source)
        if snapshot.deleted:
            raise VideoNotFound
        if isinstance(snapshot.data, VideoData) and snapshot.data.request is not None:
            return snapshot.data.request
        message = find_request(self._bus, source)
        if message is None and snapshot.queued:
            raise VideoNotFound
        try:
            if message is not None:
                return read_request(message, self._profile).request
        except InvalidRequest:
            pass
        raise InvalidRequest(
            f"The request for {source.video_id} was not valid, so it has no settings to copy. "
            "Create a new video instead.",
            code="invalid_source",
        )
