"""Making a video once more, with the settings and the seed of another and a prompt of its own."""

from __future__ import annotations

from typing import Final

from functions.shared.errors import InvalidRequest, VideoNotFound
from functions.shared.streams.bus import Bus
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.validation import read_request, request_hash
from functions.shared.subjects import REQUESTS, VideoKey
from functions.shared.video.events import VideoData
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import RemixedRequest, RemixRequest, ResolvedRequest
from functions.submit.submission import Accepted, Submissions

# What a remix has of its own, and what goes without saying.
_OWN: Final = {"prompt", "model", "remixed_from_video_id"}


class Remixes:
    """Submits remixes. Safe to use from any thread."""

    def __init__(
        self, bus: Bus, ledger: Ledger, profile: Profile, submissions: Submissions
    ) -> None:
        """Read the sources where everything is kept, and submit to `submissions`."""
        self._bus = bus
        self._ledger = ledger
        self._profile = profile
        self._submissions = submissions

    def remix(
        self, key: VideoKey, source: VideoKey, asked: RemixRequest, *, repeatable: bool
    ) -> Accepted:
        """Publish what `asked` makes of `source`, in whatever state that is, as the video `key`.

        Raises:
            VideoNotFound: there is no such source, or it was deleted; unless this remix was
                submitted before, and is sent again.
            InvalidRequest: the source never had valid settings, or the model of today can't make
                it any more.
            KinoraError: whatever `Submissions.submit` raises.
        """
        given = asked.model_dump(exclude_none=True) | {"remixed_from_video_id": source.video_id}
        # Of what was sent alone: it can be told again when the source is gone.
        digest = request_hash(RemixedRequest(**given))
        if repeatable and (earlier := self._submissions.find(key, digest)) is not None:
            return earlier
        taken_over = self._settings(source).model_dump(exclude=_OWN)
        request = RemixedRequest(**{**taken_over, **given})
        return self._submissions.submit(key, request, repeatable=repeatable, digest=digest)

    def _settings(self, source: VideoKey) -> ResolvedRequest:
        snapshot = self._ledger.read(source)
        if snapshot.deleted:
            raise VideoNotFound
        if isinstance(snapshot.data, VideoData) and snapshot.data.request is not None:
            return snapshot.data.request
        message = self._bus.get_last_message(REQUESTS, source.request_subject, leader=True)
        if message is None and snapshot.queued:
            raise VideoNotFound
        try:
            if message is not None:
                return read_request(message, self._profile).request
        except InvalidRequest:
            pass
        raise InvalidRequest(
            f"The request for {source.video_id} was not valid, so there are no settings to take "
            "over. Make a new video.",
            code="invalid_source",
        )
