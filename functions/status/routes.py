"""The HTTP routes of `status`."""

from __future__ import annotations

import contextlib
from functools import partial

from flask import Flask, Response, jsonify, request

from functions.shared.api.accounts import Accounts
from functions.shared.api.parameters import (
    LAST_EVENT_ID,
    LIMIT,
    ORDER,
    VARIANT,
    WATCHED_VIDEO,
    Variant,
    refuse_unknown,
    single_value,
)
from functions.shared.api.request_body import close_connection
from functions.shared.api.response_bodies import Model, ModelList
from functions.shared.api.thread_share import ThreadShare
from functions.shared.api.video_object import POLL_HEADERS, queued_video, video_object
from functions.shared.api.video_schema import Video
from functions.shared.errors import ContentNotReady, InvalidRequest, ModelNotFound, VideoNotFound
from functions.shared.storage import Store
from functions.shared.streams.bus import Bus, Message
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.validation import read_request
from functions.shared.streams.video_state import Snapshot, snapshot_of
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import ResolvedRequest
from functions.status import gateway_fetch
from functions.status.content import VARIANTS, send_content
from functions.status.feeds.client import FeedClient
from functions.status.feeds.opening import Feeds
from functions.status.index import VideoIndex
from functions.status.index_reads import IndexReads
from functions.status.listing.filters import read_filters
from functions.status.openings import Openings
from functions.status.preview import send_preview
from functions.status.video_texts import UNFINISHED


class StatusRoutes:
    """Handles the requests; each sees only the videos of the caller's account."""

    def __init__(
        self,
        accounts: Accounts,
        profile: Profile,
        *,
        bus: Bus,
        ledger: Ledger,
        store: Store,
        index: VideoIndex,
        index_reads: IndexReads,
        feeds: Feeds,
        downloads: ThreadShare,
        max_age_days: int,
    ) -> None:
        """Read videos with `index_reads`, else from `bus`, and files from `store`."""
        self._accounts = accounts
        self._profile = profile
        self._bus = bus
        self._ledger = ledger
        self._store = store
        self._index = index
        self._index_reads = index_reads
        self._feeds = feeds
        self._downloads = downloads
        self._opening_downloads = Openings()
        self._max_age_days = max_age_days

    def register(self, app: Flask) -> None:
        """Add the routes to `app`."""
        app.add_url_rule("/v1/models", "listModels", self.list_models)
        app.add_url_rule("/v1/models/<path:model>", "getModel", self.get_model)
        app.add_url_rule("/v1/videos", "listVideos", self.list_videos)
        app.add_url_rule("/v1/events", "streamEvents", self.stream_events)
        app.add_url_rule("/v1/videos/<video_id>", "getVideo", self.get_video)
        app.add_url_rule("/v1/videos/<video_id>/content", "getVideoContent", self.get_content)

    def list_models(self) -> Response:
        """`GET /v1/models`: the deployed model and its limits."""
        self._account()
        return jsonify(ModelList(data=[Model.from_profile(self._profile)]).model_dump())

    def get_model(self, model: str) -> Response:
        """`GET /v1/models/{model}`: the deployed model, by its id."""
        self._account()
        deployed = Model.from_profile(self._profile)
        if model != deployed.id:
            raise ModelNotFound
        return jsonify(deployed.model_dump())

    def list_videos(self) -> Response:
        """`GET /v1/videos`: one page of the caller's videos, newest first by default."""
        account = self._account()
        page = self._index_reads.page(
            account,
            after=single_value(request.args, "after") or None,
            limit=LIMIT.value(request),
            newest_first=ORDER.value(request) == "desc",
            filters=read_filters(request.args),
        )
        return _json_response(page)

    def get_video(self, video_id: str) -> Response:
        """`GET /v1/videos/{id}`: the current state of one video."""
        key = self._key(video_id)
        video = self._index_reads.video(key)
        response = jsonify(self._stored_video(key)) if video is None else _json_response(video)
        response.headers.update(POLL_HEADERS)
        return response

    def stream_events(self) -> Response:
        """`GET /v1/events`: events from now on, or since `Last-Event-ID`."""
        authorization = request.headers.get("Authorization")
        account = self._accounts.account(authorization)
        refuse_unknown(request.args, ("video_id",))
        video_id = WATCHED_VIDEO.value(request)
        last_event_id = LAST_EVENT_ID.value(request)
        client = FeedClient(request.environ)
        # A client that was cut off may never read the end, and would keep its connection.
        close_connection()
        may_read = partial(self._accounts.is_key_of, account, authorization)
        watched = None if video_id is None else VideoKey(account, video_id)
        feed = self._feeds.open(
            account,
            video_id,
            last_event_id,
            client,
            may_read=may_read,
            # Of a video that does not exist, the feed would be silent for ever.
            check=lambda: None if watched is None else self._check_exists(watched),
        )
        # Without these, buffers between here and the client would delay events.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Response(feed, mimetype="text/event-stream", headers=headers)

    def get_content(self, video_id: str) -> Response:
        """`GET /v1/videos/{id}/content`: one of its files."""
        key = self._key(video_id)
        refuse_unknown(request.args, ("variant",))
        variant = VARIANT.value(request)
        if variant == "video" and gateway_fetch.is_offered(request):
            with self._opening_downloads.turn():
                return self._open_content(key, variant)
        return self._download(key, variant)

    def _download(self, key: VideoKey, variant: Variant) -> Response:
        # First of all: what is refused costs neither a read from NATS nor one from the store.
        self._downloads.enter()
        try:
            with self._opening_downloads.turn():
                response = self._open_content(key, variant)
        except BaseException:
            self._downloads.leave()
            raise
        # The server calls this when the caller has read the body, or has gone.
        response.call_on_close(self._downloads.leave)
        return response

    def _open_content(self, key: VideoKey, variant: Variant) -> Response:
        snapshot = self._snapshot(key)
        try:
            return self._send(snapshot, variant)
        except ContentNotReady:
            # A direct get may be stale: read from the leader before answering 404.
            snapshot = self._ledger.read(key)
            if snapshot.deleted:
                raise VideoNotFound from None
            if snapshot.queued:
                self._queued(key)
            return self._send(snapshot, variant)

    def _send(self, snapshot: Snapshot, variant: Variant) -> Response:
        if variant == "preview":
            return send_preview(self._store, snapshot, request)
        return send_content(self._store, snapshot, VARIANTS[variant], request)

    def _snapshot(self, key: VideoKey) -> Snapshot:
        """The latest state; without an event, there may or may not be a request.

        Raises:
            VideoNotFound: the video was deleted.
        """
        snapshot = snapshot_of(
            key, self._bus.get_last_message(VIDEOS, key.events_filter, leader=False)
        )
        if snapshot.queued:
            snapshot = self._ledger.read(key)
        if snapshot.deleted:
            raise VideoNotFound
        return snapshot

    def _stored_video(self, key: VideoKey) -> Video:
        """A video as NATS has it.

        Raises:
            VideoNotFound: there is none, or it was deleted.
        """
        snapshot = self._snapshot(key)
        video = (
            self._queued(key)
            if snapshot.queued
            else video_object(snapshot, max_age_days=self._max_age_days)
        )
        if video["status"] in UNFINISHED:
            video["eta_seconds"] = self._index.eta_seconds(key, self._bus.now())
        return video

    def _check_exists(self, key: VideoKey) -> None:
        if self._snapshot(key).queued:
            self._request_of(key)

    def _request_of(self, key: VideoKey) -> Message:
        message = self._bus.get_last_message(REQUESTS, key.request_subject, leader=True)
        if message is None:
            raise VideoNotFound
        return message

    def _queued(self, key: VideoKey) -> Video:
        message = self._request_of(key)
        resolved: ResolvedRequest | None = None
        # An invalid request is queued too: `dispatch` will fail it, with the reason.
        with contextlib.suppress(InvalidRequest):
            resolved = read_request(message, self._profile).request
        video = queued_video(key.video_id, message.time, resolved, max_age_days=self._max_age_days)
        place = self._index.place(key)
        if place is not None:
            video |= {
                "queue_position": place.position,
                "own_queue_position": place.own_position,
                "queue_accounts": place.accounts,
            }
        return video

    def _account(self) -> str:
        return self._accounts.account(request.headers.get("Authorization"))

    def _key(self, video_id: str) -> VideoKey:
        return self._accounts.video_key(request.headers.get("Authorization"), video_id)


def _json_response(text: bytes) -> Response:
    return Response(text + b"\n", content_type="application/json")
