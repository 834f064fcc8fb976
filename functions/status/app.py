"""The function `status`: reads single videos, lists, event streams and files."""

from __future__ import annotations

from typing import Final

from flask import Flask
from prometheus_client import CollectorRegistry

from functions.shared import metrics
from functions.shared.accounts.file import AccountsFile
from functions.shared.accounts.limits import AccountLimits
from functions.shared.api.accounts import Accounts
from functions.shared.api.http import new_app
from functions.shared.api.media_routes import add_media_routes
from functions.shared.api.openapi import add_document
from functions.shared.api.thread_share import ThreadShare
from functions.shared.config import Settings, load_settings
from functions.shared.logs import configure_logging
from functions.shared.storage import S3Store, Store
from functions.shared.store_metrics import StoreMetrics
from functions.shared.streams.bus import Bus
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.silence import Silence
from functions.shared.streams.stream_metrics import StreamMetrics
from functions.shared.video.profiles import load_profile
from functions.status.feeds.feed import KEY_REVOKED, SLOW
from functions.status.feeds.opening import Feeds
from functions.status.index import VideoIndex
from functions.status.index_metrics import IndexMetrics
from functions.status.index_reads import IndexReads
from functions.status.lost_messages import LostMessages
from functions.status.queue_metrics import QueueMetrics
from functions.status.replay import Replay
from functions.status.routes import StatusRoutes
from functions.status.usage_routes import UsageRoutes

# Each open feed, and each download until its caller has read it, holds one of gunicorn's threads;
# the rest serve all other requests.
MAX_FEEDS: Final = 900
# One account leaves some of them for others, if there are others.
MAX_FEEDS_OF_ACCOUNT: Final = 450
MAX_DOWNLOADS: Final = 48


def create_app(
    settings: Settings | None = None, bus: Bus | None = None, store: Store | None = None
) -> Flask:
    """Wire the function; arguments left out are created from the environment.

    Starts the replay of the streams on threads of its own, so a server that forks must call this in
    the worker process.
    """
    settings = settings or load_settings()
    configure_logging("status", settings.log_format)
    file = AccountsFile.at_start(settings)
    accounts = Accounts(
        file,
        requests_per_second=settings.account_requests_per_second,
        max_queued=settings.account_queue_limit,
    )
    registry = CollectorRegistry()
    stream = bus or JetStream(settings.nats_url, Silence(), StreamMetrics(registry, "status"))
    profile = load_profile(settings.model_profile)
    index = VideoIndex(
        profile,
        max_age_days=settings.max_age_days,
        min_replicas=settings.min_replicas,
        max_in_flight=settings.max_in_flight,
        limits=AccountLimits(file).of,
        cache_bytes=settings.index_cache_bytes,
    )
    lost_messages = LostMessages(stream, index, max_age_days=settings.max_age_days)
    replay = Replay(stream, index, lost_messages)
    replay.start()

    registry.register(QueueMetrics(index))
    registry.register(IndexMetrics(index, replay))

    def check() -> None:
        replay.check()
        stream.check()

    app = new_app(
        "status",
        check=check,
        answers_without_nats=True,
        max_body_bytes=settings.max_body_bytes,
        allowed_hosts=settings.allowed_hosts,
        registry=registry,
        cors_origins=settings.cors_origins,
        accounts=file,
    )
    dropped = metrics.FEEDS_DROPPED.on(registry)
    for reason in (SLOW, KEY_REVOKED):
        # From 0, so that the first one is seen as an increase.
        dropped.labels(reason)
    feeds = Feeds(
        stream,
        max_open=MAX_FEEDS,
        max_of_account=MAX_FEEDS_OF_ACCOUNT if settings.accounts_file else MAX_FEEDS,
        on_drop=lambda reason: dropped.labels(reason).inc(),
    )
    if file is not None:
        file.follow(feeds.check_keys)
    downloads = ThreadShare(MAX_DOWNLOADS, "downloads")
    metrics.OPEN_FEEDS.on(registry).set_function(lambda: feeds.open_count)
    metrics.OPEN_DOWNLOADS.on(registry).set_function(lambda: downloads.taken)
    index_reads = IndexReads(index, replay, max_age_days=settings.max_age_days)
    UsageRoutes(accounts, index_reads).register(app)
    StatusRoutes(
        accounts,
        profile,
        bus=stream,
        ledger=Ledger(stream, takeover_grace=settings.takeover_grace_seconds),
        store=store or S3Store.from_settings(settings, StoreMetrics(registry)),
        index=index,
        index_reads=index_reads,
        feeds=feeds,
        downloads=downloads,
        max_age_days=settings.max_age_days,
    ).register(app)
    add_media_routes(app, accounts, "GET")
    add_document(app, profile)
    return app
