"""The HTTP routes of `submit`."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request
from pydantic_core import to_json
from structlog.contextvars import bind_contextvars

from functions.shared.api.accounts import Accounts
from functions.shared.api.parameters import IDEMPOTENCY_KEY
from functions.shared.api.read_window import Visible
from functions.shared.api.response_bodies import DeletedVideo
from functions.shared.api.video_object import POLL_HEADERS, queued_video, video_object
from functions.shared.api.video_schema import Video
from functions.shared.errors import InvalidEvent, excerpt
from functions.shared.streams.cloudevents import ReceivedEvent
from functions.shared.streams.validation import check_body, check_remix, check_requested
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey, is_token
from functions.shared.timestamps import parse_rfc3339
from functions.submit.bodies import numbered_errors, read_events, read_fields
from functions.submit.cancellation import Cancellations
from functions.submit.deletion import Deletions
from functions.submit.large_bodies import LargeBodies
from functions.submit.prepared_request import PreparedRequest
from functions.submit.remix import Remixes
from functions.submit.submission import Accepted, Submissions
from functions.submit.video_ids import derived_video_id, new_video_id


class SubmitRoutes:
    """Creates, remixes, cancels and deletes videos, each for the caller's own account."""

    def __init__(
        self,
        accounts: Accounts,
        submissions: Submissions,
        remixes: Remixes,
        cancellations: Cancellations,
        deletions: Deletions,
        large_bodies: LargeBodies,
        *,
        max_age_days: int,
    ) -> None:
        """Show that videos expire after `max_age_days`."""
        self._accounts = accounts
        self._submissions = submissions
        self._remixes = remixes
        self._cancellations = cancellations
        self._deletions = deletions
        self._large_bodies = large_bodies
        self._max_age_days = max_age_days

    def register(self, app: Flask) -> None:
        """Add the routes to `app`."""
        video = "/v1/videos/<video_id>"
        app.add_url_rule("/", "submitEvent", self.submit_events, methods=["POST"])
        app.add_url_rule("/v1/videos", "createVideo", self.create, methods=["POST"])
        app.add_url_rule(video, "deleteVideo", self.delete, methods=["DELETE"])
        app.add_url_rule(f"{video}/cancel", "cancelVideo", self.cancel, methods=["POST"])
        app.add_url_rule(f"{video}/remix", "remixVideo", self.remix, methods=["POST"])

    def create(self) -> Response:
        """`POST /v1/videos`: the video, once JetStream has stored the request."""
        account = self._account()
        body = check_body(self._fields())
        key, idempotent = _new_key(account)
        return self._accept(key, self._submissions.submit(key, body, idempotent=idempotent))

    def remix(self, video_id: str) -> Response:
        """`POST /v1/videos/{id}/remix`: a new video with the same settings and seed."""
        source = self._key(video_id)
        body = check_remix(self._fields())
        key, idempotent = _new_key(source.account)
        return self._accept(key, self._remixes.remix(key, source, body, idempotent=idempotent))

    def _accept(self, key: VideoKey, accepted: Accepted) -> Response:
        bind_contextvars(video_id=key.video_id)
        headers = {"Location": f"/v1/videos/{key.video_id}", **POLL_HEADERS}
        body = to_json(self._accepted(key, accepted))
        # As OpenAI answers. Some clients take anything else for a failure.
        return Response(body, 200, headers, content_type="application/json")

    def submit_events(self) -> Response:
        """`POST /`: CloudEvents that request videos, in binary, structured or batch mode.

        The response has no body: a Knative Trigger treats any body that is not a CloudEvent as a
        failure, and delivers the event again.
        """
        account = self._account()
        # A batch is accepted as a whole or not at all: check every event before publishing one.
        requested: dict[VideoKey, PreparedRequest] = {}
        new: dict[VideoKey, PreparedRequest] = {}
        for number, event in enumerate(events := self._events()):
            with numbered_errors(number, len(events)):
                key, prepared = self._check_event(account, event)
                if requested.setdefault(key, prepared).request_hash != prepared.request_hash:
                    raise InvalidEvent(
                        f"Two events of the batch request different videos as {key.video_id!r}. "
                        "Give one of them another subject, or leave it out.",
                        param="subject",
                    )
                if self._submissions.find(key, prepared.request_hash) is None:
                    new[key] = prepared
        self._submissions.submit_batch(account, list(new.values()))
        response = Response(status=202)
        del response.headers["Content-Type"]
        if len(events) == 1:
            response.headers["Location"] = f"/v1/videos/{next(iter(requested)).video_id}"
        return response

    def _check_event(self, account: str, event: ReceivedEvent) -> tuple[VideoKey, PreparedRequest]:
        subject = event.attributes.get("subject")
        if subject is None:
            subject = derived_video_id(account, event.attributes["source"], event.id)
        elif not is_token(subject):
            raise InvalidEvent(
                f"subject is {excerpt(subject)!r}; it becomes the video's id, so it must be 1 to "
                "64 letters, digits, '_' or '-', or absent",
                param="subject",
            )
        key = VideoKey(account, subject)
        requested = check_requested(event.type, event.data)
        return key, self._submissions.prepare(key, requested)

    def cancel(self, video_id: str) -> Response:
        """`POST /v1/videos/{id}/cancel`: the video as it is now."""
        snapshot = self._cancellations.cancel(self._key(video_id))
        Visible().wait()
        return jsonify(self._video(snapshot))

    def delete(self, video_id: str) -> Response:
        """`DELETE /v1/videos/{id}`: the video and its files are deleted."""
        self._deletions.delete(self._key(video_id))
        body: DeletedVideo = {"id": video_id, "object": "video.deleted", "deleted": True}
        return jsonify(body)

    def _fields(self) -> dict[str, Any]:
        with self._large_bodies.turn(request.content_length or 0):
            return read_fields(request)

    def _events(self) -> list[ReceivedEvent]:
        with self._large_bodies.turn(request.content_length or 0):
            return read_events(request)

    def _account(self) -> str:
        return self._accounts.account(request.headers.get("Authorization"))

    def _key(self, video_id: str) -> VideoKey:
        return self._accounts.video_key(request.headers.get("Authorization"), video_id)

    def _accepted(self, key: VideoKey, accepted: Accepted) -> Video:
        stored = accepted.request
        if stored is None:
            # An idempotency key has found a video, in a state that may be new.
            Visible().wait()
            return self._video(accepted.snapshot)
        created = parse_rfc3339(stored.created_at)
        return queued_video(key.video_id, created, stored.request, max_age_days=self._max_age_days)

    def _video(self, snapshot: Snapshot) -> Video:
        return video_object(snapshot, max_age_days=self._max_age_days)


def _new_key(account: str) -> tuple[VideoKey, bool]:
    """The key of a new video, and whether it is idempotent: derived from the caller's own key."""
    name = IDEMPOTENCY_KEY.value(request)
    video_id = new_video_id() if name is None else derived_video_id(account, name)
    return VideoKey(account, video_id), name is not None
