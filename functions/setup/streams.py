"""The streams and their consumers: how each is configured, and how they are made or updated."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

import nats
import nats.errors
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, BadRequestError, NotFoundError

from functions.shared.backoff import Backoff
from functions.shared.config import Settings
from functions.shared.endpoints import CONSUMER_PREFIX, Endpoint, read_endpoints
from functions.shared.streams.consumers import FORWARD_CONSUMER, GENERATE_CONSUMER
from functions.shared.streams.nats_address import client_options
from functions.shared.subjects import ALL_REQUESTS, ALL_VIDEOS, REQUESTS, VIDEOS
from functions.shared.timestamps import DAY_SECONDS

log = logging.getLogger(__name__)

# A request whose `dispatch` died comes back after so long. It is renewed every quarter of it.
ACK_WAIT: Final = 60.0
# A cluster that starts has no leader at first; an election takes seconds, on a busy machine more.
PATIENCE_SECONDS: Final = 45.0
# JSClusterNoPeersErrF: servers are missing, and code 400 says wrongly that the request is bad.
NO_PEERS: Final = 10005
# JSStreamReplicasNotSupportedErr: one server alone keeps one copy, however long one waits.
NOT_CLUSTERED: Final = 10074


def stream_configs(settings: Settings) -> list[StreamConfig]:
    """The two streams: one message a subject, so that the newest event is a video's state.

    VIDEOS has no size limit: `completed` is a new subject, and a full stream could end nothing.
    """
    common = {
        "retention": RetentionPolicy.LIMITS,
        "storage": StorageType.FILE,
        # New subjects are refused at the limit, but a subject's message can still be replaced.
        "discard": DiscardPolicy.NEW,
        "max_msgs_per_subject": 1,
        "allow_direct": True,
        "max_age": float(settings.max_age_days * DAY_SECONDS),
        "num_replicas": settings.stream_replicas,
    }
    return [
        StreamConfig(
            name=REQUESTS,
            subjects=[ALL_REQUESTS],
            description="What is asked for: one request a video",
            max_bytes=settings.requests_max_bytes,
            **common,  # type: ignore[arg-type]  # one dict for fields of several types
        ),
        StreamConfig(
            name=VIDEOS,
            subjects=[ALL_VIDEOS],
            description="What happened: the newest message about a video is its state",
            **common,  # type: ignore[arg-type]  # one dict for fields of several types
        ),
    ]


def consumer_config(settings: Settings) -> ConsumerConfig:
    """The work queue of `dispatch`."""
    return ConsumerConfig(
        durable_name=GENERATE_CONSUMER,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT,
        # As many open requests as `generate` may have replicas: what the autoscaler sees.
        max_ack_pending=settings.max_in_flight,
        # Attempts are counted in the events, so that a busy replica never uses one up.
        max_deliver=-1,
        filter_subject=ALL_REQUESTS,
    )


async def set_up_patiently(settings: Settings) -> None:
    """As `set_up_streams`, again and again while a NATS server or its cluster is starting."""
    end, backoff = time.monotonic() + PATIENCE_SECONDS, Backoff(0.2, 2.0)
    while True:
        try:
            return await set_up_streams(settings)
        except (nats.errors.Error, OSError, TimeoutError) as problem:
            pause = next(backoff)
            if not _may_pass(problem) or time.monotonic() + pause > end:
                raise
            log.info("NATS is not ready yet: %r", problem)
        await asyncio.sleep(pause)


def _may_pass(problem: Exception) -> bool:
    if isinstance(problem, nats.errors.AuthorizationError):
        return False
    if isinstance(problem, APIError):
        refused = isinstance(problem, BadRequestError) and problem.err_code != NO_PEERS
        return not refused and problem.err_code != NOT_CLUSTERED
    return True


def forward_consumer(events: str) -> ConsumerConfig:
    """What a `dispatch` that forwards `events` (`completed,...`) has yet to send."""
    return ConsumerConfig(
        durable_name=FORWARD_CONSUMER,
        # Who is connected today has not asked for what happened before.
        deliver_policy=DeliverPolicy.NEW,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT,
        # A sink that is away holds up so many, and all others are waiting in the stream.
        max_ack_pending=1000,
        max_deliver=-1,
        filter_subjects=[f"kinora.videos.*.*.{event}" for event in events.split(",")],
    )


def webhook_consumer(endpoint: Endpoint, settings: Settings) -> ConsumerConfig:
    """What one endpoint has yet to be told, and how often it was tried."""
    return ConsumerConfig(
        durable_name=endpoint.consumer,
        # A new endpoint is told what happens from now on, and not all that ever happened.
        deliver_policy=DeliverPolicy.NEW,
        ack_policy=AckPolicy.EXPLICIT,
        # Twice as long as an attempt takes: only those of a replica that died come back so.
        ack_wait=2 * settings.webhook_timeout_seconds,
        # What waits for its next attempt counts. As many as may be queued, so that an endpoint
        # which fails for some videos still hears of the others.
        max_ack_pending=settings.queue_limit,
        # The schedule ends in our code, which says so.
        max_deliver=-1,
        filter_subjects=endpoint.subjects,
    )


async def set_up_streams(settings: Settings) -> None:
    """Make both streams and the consumers, or bring them up to date.

    Raises:
        nats.errors.Error, OSError, TimeoutError: NATS can't be reached, or refused.
    """
    client = await nats.connect(
        **client_options(settings.nats_url), allow_reconnect=False, connect_timeout=5
    )
    try:
        stream = client.jetstream(timeout=5)
        for config in stream_configs(settings):
            await _set_up_stream(stream, config)
        await stream.add_consumer(REQUESTS, consumer_config(settings))
        if settings.forward_events is not None:
            await stream.add_consumer(VIDEOS, forward_consumer(settings.forward_events))
        if settings.webhooks_file is not None:
            await _set_up_webhooks(stream, settings)
    finally:
        await client.close()


async def _set_up_webhooks(stream: JetStreamContext, settings: Settings) -> None:
    """Make one consumer for each endpoint in the file, and remove those of former ones."""
    endpoints = read_endpoints(settings)
    for endpoint in endpoints:
        await stream.add_consumer(VIDEOS, webhook_consumer(endpoint, settings))
    wanted = {endpoint.consumer for endpoint in endpoints}
    names: list[str] = []
    while page := await stream.consumers_info(VIDEOS, offset=len(names)):
        names += [info.name for info in page]
    for name in names:
        if name.startswith(CONSUMER_PREFIX) and name not in wanted:
            await stream.delete_consumer(VIDEOS, name)
            log.info("consumer %s removed: its endpoint is not in the file any more", name)


async def _set_up_stream(stream: JetStreamContext, config: StreamConfig) -> None:
    try:
        await stream.stream_info(config.name or "")
    except NotFoundError:
        await stream.add_stream(config)
        log.info("stream %s made", config.name)
    else:
        await stream.update_stream(config)
