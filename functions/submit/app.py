"""The function `submit`: accepts requests over HTTP and as CloudEvents, cancels and deletes."""

from __future__ import annotations

from typing import Final

from flask import Flask
from prometheus_client import CollectorRegistry

from functions.shared.accounts.file import AccountsFile
from functions.shared.api.accounts import Accounts
from functions.shared.api.http import new_app
from functions.shared.api.media_routes import add_media_routes, explain_large_body
from functions.shared.api.openapi import add_document
from functions.shared.api.thread_share import ThreadShare
from functions.shared.config import Settings, load_settings
from functions.shared.logs import configure_logging
from functions.shared.remembered_check import RememberedCheck
from functions.shared.storage import S3Store, Store
from functions.shared.store_metrics import StoreMetrics
from functions.shared.streams.bus import Bus
from functions.shared.streams.event_counts import EventCounts
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.silence import Silence
from functions.shared.streams.stream_metrics import StreamMetrics
from functions.shared.video.profiles import load_profile
from functions.shared.write_check import WriteCheck
from functions.submit.cancellation import Cancellations
from functions.submit.deletion import Deletions
from functions.submit.large_bodies import LargeBodies
from functions.submit.queue_limits import QueueLimits
from functions.submit.remix import Remixes
from functions.submit.routes import SubmitRoutes
from functions.submit.stream_writes import StreamWrites
from functions.submit.submission import Submissions

# Of gunicorn's 36 threads: a deletion waits for the store, and nothing else of submit does; large
# bodies wait for each other.
MAX_DELETIONS: Final = 16
MAX_LARGE_BODIES: Final = 8
# How long `GET /health` believes that NATS stores what is published, or that it does not.
WRITES_BELIEVED_SECONDS: Final = 1.0


def create_app(
    settings: Settings | None = None, bus: Bus | None = None, store: Store | None = None
) -> Flask:
    """Wire the function. An argument left out is created from the environment."""
    settings = settings or load_settings()
    configure_logging("submit", settings.log_format)
    registry = CollectorRegistry()
    stream = bus or JetStream(settings.nats_url, Silence(), StreamMetrics(registry, "submit"))
    profile = load_profile(settings.model_profile)
    ledger = Ledger(
        stream,
        takeover_grace=settings.takeover_grace_seconds,
        on_stored=EventCounts(registry).count,
    )
    deadline = settings.http_deadline_seconds
    file = AccountsFile.at_start(settings)
    accounts = Accounts(
        file,
        requests_per_second=settings.account_requests_per_second,
        max_queued=settings.account_queue_limit,
    )

    store = store or S3Store.from_settings(settings, StoreMetrics(registry))
    store_writes = WriteCheck(store)
    # Whoever asks needs no key, and in a cluster each purge is written down by all servers.
    health = RememberedCheck(
        stream.check_writes,
        success_seconds=WRITES_BELIEVED_SECONDS,
        failure_seconds=WRITES_BELIEVED_SECONDS,
    )

    def check_health() -> None:
        stream.check()
        health.check()
        store_writes.check()

    app = new_app(
        "submit",
        check=stream.check,
        check_health=check_health,
        answers_without_nats=True,
        max_body_bytes=settings.max_body_bytes,
        allowed_hosts=settings.allowed_hosts,
        registry=registry,
        cors_origins=settings.cors_origins,
        accounts=file,
        authenticate=accounts.account,
        explain_large=explain_large_body,
    )
    limits = QueueLimits(stream, limit=settings.queue_limit, account_limit=accounts.max_queued)
    writes = StreamWrites(stream.check_writes)
    submissions = Submissions(stream, ledger, profile, limits, writes, deadline=deadline)
    app.extensions["kinora.submissions"] = submissions
    if file is not None:
        file.follow()
    SubmitRoutes(
        accounts,
        submissions,
        Remixes(stream, ledger, profile, submissions),
        Cancellations(stream, ledger, profile, writes, deadline=deadline),
        Deletions(
            stream,
            ledger,
            store,
            writes,
            ThreadShare(MAX_DELETIONS, "deletions"),
            deadline=deadline,
        ),
        LargeBodies(ThreadShare(MAX_LARGE_BODIES, "large bodies")),
        max_age_days=settings.max_age_days,
    ).register(app)
    add_media_routes(app, accounts, "POST")
    add_document(app, profile)
    return app
