"""The event source `dispatch`: requests to `generate`, webhooks, or forwarded events.

Its HTTP side serves probes only. The programs run on threads of their own, which gunicorn's hooks
start and stop.
"""

from __future__ import annotations

import os

from flask import Flask
from prometheus_client import CollectorRegistry

from functions.dispatch.dispatcher import Dispatcher
from functions.dispatch.forwarding.forwarder import Forwarder
from functions.dispatch.lost_videos import CHECK_SECONDS, LostVideos
from functions.dispatch.periodic import Periodic
from functions.dispatch.requests.deletion_cost import DeletionCosts
from functions.dispatch.requests.handler import RequestHandler
from functions.dispatch.requests.sink import HttpSink
from functions.dispatch.sinks import parse_ce_overrides
from functions.dispatch.stream_samples import SAMPLE_SECONDS, StreamSamples
from functions.dispatch.sweeper import SWEEP_SECONDS, Sweeper
from functions.dispatch.turns.proposer import Proposer
from functions.dispatch.turns.source import TurnSource
from functions.dispatch.turns.unsettled import UnsettledRequests
from functions.dispatch.webhooks.workers import WebhookWorkers
from functions.shared import metrics
from functions.shared.accounts.file import AccountsFile
from functions.shared.accounts.limits import AccountLimits
from functions.shared.api.http import new_app
from functions.shared.config import Settings, load_settings
from functions.shared.errors import Unavailable
from functions.shared.logs import configure_logging
from functions.shared.networks import parse_networks
from functions.shared.storage import S3Store, Store
from functions.shared.store_metrics import StoreMetrics
from functions.shared.streams.bus import Bus
from functions.shared.streams.consumers import FORWARD_CONSUMER, PullConsumer
from functions.shared.streams.event_counts import EventCounts
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.nats_connection import NatsConnection
from functions.shared.streams.stream_metrics import StreamMetrics
from functions.shared.subjects import VIDEOS
from functions.shared.video.profiles import load_profile
from functions.shared.write_check import WriteCheck


def create_app(
    settings: Settings | None = None, bus: Bus | None = None, store: Store | None = None
) -> Flask:
    """Wire the event source; what is not given is created as the settings say.

    With FORWARD_EVENTS it forwards those events, and does nothing else.

    Without K_SINK nothing is pulled and the app stays unready: a SinkBinding restarts the pods once
    it knows the address.
    """
    settings = settings or load_settings()
    configure_logging("dispatch", settings.log_format)
    accounts = AccountsFile.at_start(settings)
    registry = CollectorRegistry()
    stream = bus or JetStream(settings.nats_url, metrics=StreamMetrics(registry, "dispatch"))

    def check() -> None:
        dispatcher: Dispatcher | None = app.extensions.get("kinora.dispatcher")
        if dispatcher is None:
            raise Unavailable("K_SINK is not set: where should requests go?")
        stream.check()
        dispatcher.check()
        webhooks: WebhookWorkers | None = app.extensions.get("kinora.webhooks")
        if webhooks is not None:
            webhooks.check()

    app = new_app(
        "dispatch",
        check=check,
        max_body_bytes=settings.max_body_bytes,
        allowed_hosts=settings.allowed_hosts,
        registry=registry,
        accounts=accounts,
    )
    if settings.forward_events is not None:
        if settings.k_sink:
            app.extensions["kinora.dispatcher"] = _forwarding(settings, settings.k_sink, stream)
        return app
    if accounts is not None:
        accounts.follow()
        app.extensions["kinora.webhooks"] = _webhooks(settings, accounts, registry)
    if settings.k_sink:
        profile = load_profile(settings.model_profile)
        ledger = Ledger(
            stream,
            takeover_grace=settings.takeover_grace_seconds,
            on_stored=EventCounts(registry).count,
        )
        store = store or S3Store.from_settings(settings, StoreMetrics(registry))
        writes = WriteCheck(store)
        requests = UnsettledRequests(profile, AccountLimits(accounts).of)

        given = metrics.TURNS_GIVEN.on(registry)

        def ready() -> None:
            writes.check()
            requests.check()

        app.extensions["kinora.turns"] = Proposer(
            stream,
            requests,
            max_in_flight=settings.max_in_flight,
            on_given=lambda account: given.labels(account).inc(),
        )
        app.extensions["kinora.dispatcher"] = Dispatcher(
            stream,
            RequestHandler(ledger, profile, _sink(settings, settings.k_sink)),
            slots=settings.max_in_flight,
            source=lambda: TurnSource(
                stream, is_settled=requests.is_settled, on_settled=requests.settle
            ),
            ready=ready,
        )
        sweeper = Sweeper(stream, ledger, profile, store, max_age_days=settings.max_age_days)
        app.extensions["kinora.sweeper"] = Periodic("sweep", sweeper.sweep, seconds=SWEEP_SECONDS)
        samples = StreamSamples(stream)
        registry.register(samples)
        app.extensions["kinora.stream-samples"] = Periodic(
            "look at the streams", samples.sample, seconds=SAMPLE_SECONDS
        )
        lost = LostVideos(stream, ledger, profile, store)
        app.extensions["kinora.lost-videos"] = Periodic(
            "search for lost videos", lost.check, seconds=CHECK_SECONDS
        )
    return app


def _sink(settings: Settings, url: str) -> HttpSink:
    return HttpSink(
        url,
        first_byte_seconds=settings.first_byte_seconds,
        silence_seconds=settings.silence_seconds,
        extensions=parse_ce_overrides(os.environ.get("K_CE_OVERRIDES")),
        deletion_costs=DeletionCosts.of_cluster(),
    )


def _forwarding(settings: Settings, url: str, stream: Bus) -> Dispatcher:
    connection = NatsConnection(settings.nats_url)
    return Dispatcher(
        stream,
        Forwarder(url, parse_ce_overrides(os.environ.get("K_CE_OVERRIDES"))),
        slots=settings.max_in_flight,
        source=lambda: PullConsumer(connection, stream=VIDEOS, consumer=FORWARD_CONSUMER),
    )


def _webhooks(
    settings: Settings, accounts: AccountsFile, registry: CollectorRegistry
) -> WebhookWorkers:
    return WebhookWorkers(
        accounts,
        NatsConnection(settings.nats_url),
        networks=parse_networks(settings.webhook_allowed_networks),
        timeout_seconds=settings.webhook_timeout_seconds,
        max_pending=settings.queue_limit,
        registry=registry,
    )
