"""The HTTP routes of `submit`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from flask import Flask, Response, jsonify, request
from pydantic_core import to_json

from functions.shared.api.accounts import Accounts
from functions.shared.api.answers import DeletedVideo
from functions.shared.api.parameters import IDEMPOTENCY_KEY
from functions.shared.api.video_object import Video, queued_video, video_object
from functions.shared.errors import InvalidEvent, KinoraError
from functions.shared.streams.cloudevents import ReceivedEvent
from functions.shared.streams.ledger import Snapshot
from functions.shared.streams.validation import (
    check_body,
    check_remix,
    check_requested,
)
from functions.shared.subjects import VideoKey, is_token
from functions.shared.timestamps import parse_rfc3339
from functions.submit.bodies import read_events, read_fields
from functions.submit.endings import Endings
from functions.submit.prepared import Prepared
from functions.submit.remixing import Remixes
from functions.submit.submission import Accepted, Submissions, derived_video_id, new_video_id

# openai-python polls so often when it is told nothing else; it must be a whole number.
POLL_AFTER_MS: Final = "1000"


class SubmitRoutes:
    """Answers requests that make, cancel and delete videos."""

    def __init__(
        self,
        accounts: Accounts,
        submissions: Submissions,
        endings: Endings,
        remixes: Remixes,
        *,
        max_age_days: int,
    ) -> None:
        """Answer with what the others do, each for the caller's own account."""
        self._accounts = accounts
        self._submissions = submissions
        self._endings = endings
        self._remixes = remixes
        self._max_age_days = max_age_days

    def register(self, app: Flask) -> None:
        """Add the routes to `app`."""
        app.add_url_rule("/", "submitEvent", self.receive_events, methods=["POST"])
        app.add_url_rule("/v1/videos", "createVideo", self.create, methods=["POST"])
        app.add_url_rule("/v1/videos/<video_id>", "deleteVideo", self.delete, methods=["DELETE"])
        app.add_url_rule(
            "/v1/videos/<video_id>/cancel", "cancelVideo", self.cancel, methods=["POST"]
        )
        app.add_url_rule("/v1/videos/<video_id>/remix", "remixVideo", self.remix, methods=["POST"])

    def create(self) -> Response:
        """`POST /v1/videos`: 202 and the video, once JetStream has the request."""
        account = self._account()
        asked = check_body(read_fields(request))
        key, repeatable = _new_key(account)
        return self._accept(key, self._submissions.submit(key, asked, repeatable=repeatable))

    def remix(self, video_id: str) -> Response:
        """`POST /v1/videos/{id}/remix`: 202 and a new video, with the same settings and seed."""
        source = self._key(video_id)
        asked = check_remix(read_fields(request))
        key, repeatable = _new_key(source.account)
        return self._accept(key, self._remixes.remix(key, source, asked, repeatable=repeatable))

    def _accept(self, key: VideoKey, accepted: Accepted) -> Response:
        headers = {"Location": f"/v1/videos/{key.video_id}", "openai-poll-after-ms": POLL_AFTER_MS}
        body = to_json(self._accepted(key, accepted))
        return Response(body, 202, headers, content_type="application/json")

    def receive_events(self) -> Response:
        """`POST /`: CloudEvents that ask for videos, in binary, structured or batch mode.

        The answer has no body: a Knative Trigger takes any body that is no CloudEvent for a
        failure, and would deliver the event again.
        """
        account = self._account()
        # Everything is checked before anything is published: a batch is taken whole or not at all.
        asked: dict[VideoKey, Prepared] = {}
        new: dict[VideoKey, Prepared] = {}
        for number, event in enumerate(events := read_events(request)):
            with _place_in_batch(number, len(events)):
                key, prepared = self._check_event(account, event)
                if asked.setdefault(key, prepared).digest != prepared.digest:
                    raise InvalidEvent(
                        f"Two events of the batch ask for different videos as {key.video_id!r}",
                        param="subject",
                    )
                if self._submissions.find(key, prepared.digest) is None:
                    new[key] = prepared
        self._submissions.submit_all(account, list(new.values()))
        response = Response(status=202)
        del response.headers["Content-Type"]
        if len(events) == 1:
            response.headers["Location"] = f"/v1/videos/{next(iter(asked)).video_id}"
        return response

    def _check_event(self, account: str, event: ReceivedEvent) -> tuple[VideoKey, Prepared]:
        subject = event.attributes.get("subject")
        if subject is None:
            subject = derived_video_id(account, event.attributes["source"], event.id)
        elif not is_token(subject):
            raise InvalidEvent(
                f"subject {subject[:80]!r} becomes the video's id, so it must be 1 to 64 letters, "
                "digits, '_' or '-'; or leave it out",
                param="subject",
            )
        key = VideoKey(account, subject)
        requested = check_requested(event.type, event.data)
        return key, self._submissions.prepare(key, requested)

    def cancel(self, video_id: str) -> Response:
        """`POST /v1/videos/{id}/cancel`: the video as it is now."""
        return jsonify(self._video(self._endings.cancel(self._key(video_id))))

    def delete(self, video_id: str) -> Response:
        """`DELETE /v1/videos/{id}`: the video and its files are gone."""
        self._endings.delete(self._key(video_id))
        answer: DeletedVideo = {"id": video_id, "object": "video.deleted", "deleted": True}
        return jsonify(answer)

    def _account(self) -> str:
        return self._accounts.account(request.headers.get("Authorization"))

    def _key(self, video_id: str) -> VideoKey:
        return self._accounts.video_key(request.headers.get("Authorization"), video_id)

    def _accepted(self, key: VideoKey, accepted: Accepted) -> Video:
        stored = accepted.request
        if stored is None:
            return self._video(accepted.snapshot)
        created = parse_rfc3339(stored.created_at)
        return queued_video(key.video_id, created, stored.request, max_age_days=self._max_age_days)

    def _video(self, snapshot: Snapshot) -> Video:
        return video_object(snapshot, max_age_days=self._max_age_days)


def _new_key(account: str) -> tuple[VideoKey, bool]:
    """The key of the video to be made, and whether a repeated request leads to the same one."""
    name = IDEMPOTENCY_KEY.read(request.headers.get("Idempotency-Key"))
    video_id = new_video_id() if name is None else derived_video_id(account, name)
    return VideoKey(account, video_id), name is not None


@contextlib.contextmanager
def _place_in_batch(number: int, total: int) -> Iterator[None]:
    """Say in an error which event of a batch is at fault."""
    try:
        yield
    except KinoraError as error:
        if total > 1:
            error.message = f"Event {number}: {error.message}"
        raise
