"""The streams and their consumers: their configuration, and how they are created or updated."""

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

from functions.setup.upgrade import retire_requests_consumer
from functions.shared.backoff import Backoff
from functions.shared.config import Settings
from functions.shared.streams.consumers import FORWARD_CONSUMER, GENERATE_CONSUMER
from functions.shared.streams.nats_address import client_options
from functions.shared.subjects import (
    ALL_REQUESTS,
    ALL_TURNS,
    ALL_VIDEOS,
    QUEUE,
    QUEUE_SUBJECT,
    REQUESTS,
    TURNS,
    VIDEOS,
)
from functions.shared.timestamps import DAY_SECONDS

log = logging.getLogger(__name__)

# A request is redelivered this many seconds after its `dispatch` has died. While `dispatch` lives,
# it extends the time every quarter of it.
ACK_WAIT: Final = 60.0
# A starting cluster has no leader; an election takes seconds, or longer on a busy machine.
RETRY_SECONDS: Final = 45.0
# JSClusterNoPeersErrF: servers are missing; its code 400 wrongly claims that the request is bad.
NO_PEERS: Final = 10005
# JSStreamReplicasNotSupportedErr: a single server keeps one copy, and retrying changes nothing.
NOT_CLUSTERED: Final = 10074


def stream_configs(settings: Settings) -> list[StreamConfig]:
    """The four streams. They keep one message for each subject.

    VIDEOS has no size limit: each event has a subject of its own, so a full stream could store no
    terminal event. TURNS keeps as many turns as `generate` may have replicas, and of a video one,
    whoever publishes them.
    """
    kept = {
        "storage": StorageType.FILE,
        # New subjects are refused at the limit, but a subject's message can still be replaced.
        "discard": DiscardPolicy.NEW,
        "max_msgs_per_subject": 1,
        "num_replicas": settings.stream_replicas,
    }
    common = kept | {
        "retention": RetentionPolicy.LIMITS,
        "allow_direct": True,
        "max_age": float(settings.max_age_days * DAY_SECONDS),
    }
    return [
        StreamConfig(
            name=REQUESTS,
            subjects=[ALL_REQUESTS],
            description="Requests: one for each video",
            max_bytes=settings.requests_max_bytes,
            **common,  # type: ignore[arg-type]  # one dict for fields of several types
        ),
        StreamConfig(
            name=VIDEOS,
            subjects=[ALL_VIDEOS],
            description="Events: the newest of a video is its state",
            **common,  # type: ignore[arg-type]  # one dict for fields of several types
        ),
        StreamConfig(
            name=TURNS,
            subjects=[ALL_TURNS],
            description="Turns: requests that may be worked on now",
            # What is acknowledged is removed, and makes room for the next turn.
            retention=RetentionPolicy.WORK_QUEUE,
            max_msgs=settings.max_in_flight,
            discard_new_per_subject=True,
            **kept,  # type: ignore[arg-type]  # one dict for fields of several types
        ),
        StreamConfig(
            name=QUEUE,
            subjects=[QUEUE_SUBJECT],
            description="What waits, in one message",
            **common | {"max_age": 0.0},  # type: ignore[arg-type]  # as above
        ),
    ]


def turns_consumer(settings: Settings) -> ConsumerConfig:
    """The work queue of `dispatch`."""
    return ConsumerConfig(
        durable_name=GENERATE_CONSUMER,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT,
        # As many open requests as `generate` may have replicas: the autoscaler counts them.
        max_ack_pending=settings.max_in_flight,
        # Attempts are counted in the events, so that a busy replica never uses one up.
        max_deliver=-1,
        filter_subject=ALL_TURNS,
    )


async def set_up_streams_with_retries(settings: Settings) -> None:
    """As `set_up_streams`, retried while a NATS server or its cluster is starting."""
    deadline, backoff = time.monotonic() + RETRY_SECONDS, Backoff(0.2, 2.0)
    while True:
        try:
            return await set_up_streams(settings)
        except (nats.errors.Error, OSError, TimeoutError) as problem:
            pause = next(backoff)
            if not _is_transient(problem) or time.monotonic() + pause > deadline:
                raise
            log.info("NATS is not ready yet: %r", problem)
        await asyncio.sleep(pause)


def _is_transient(problem: Exception) -> bool:
    if isinstance(problem, nats.errors.AuthorizationError):
        return False
    if isinstance(problem, APIError):
        refused = isinstance(problem, BadRequestError) and problem.err_code != NO_PEERS
        return not refused and problem.err_code != NOT_CLUSTERED
    return True


def forward_consumer(events: str) -> ConsumerConfig:
    """The queue of `events` (`completed,...`) that a `dispatch` with FORWARD_EVENTS forwards."""
    return ConsumerConfig(
        durable_name=FORWARD_CONSUMER,
        # A new sink receives events from now on, and no history.
        deliver_policy=DeliverPolicy.NEW,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT,
        # Events that an unavailable sink may keep in redelivery; the rest waits in the stream.
        max_ack_pending=1000,
        max_deliver=-1,
        filter_subjects=[f"kinora.videos.*.*.{event}" for event in events.split(",")],
    )


async def set_up_streams(settings: Settings) -> None:
    """Create or update the streams and their consumers; `dispatch` creates those of webhooks.

    Raises:
        nats.errors.Error, OSError, TimeoutError: NATS can't be reached, or refuses.
    """
    client = await nats.connect(
        **client_options(settings.nats_url), allow_reconnect=False, connect_timeout=5
    )
    try:
        stream = client.jetstream(timeout=5)
        for config in stream_configs(settings):
            await _set_up_stream(stream, config)
        await stream.add_consumer(TURNS, turns_consumer(settings))
        await retire_requests_consumer(client)
        if settings.forward_events is not None:
            await stream.add_consumer(VIDEOS, forward_consumer(settings.forward_events))
    finally:
        await client.close()


async def _set_up_stream(stream: JetStreamContext, config: StreamConfig) -> None:
    try:
        await stream.stream_info(config.name or "")
    except NotFoundError:
        await stream.add_stream(config)
        log.info("stream %s created", config.name)
    else:
        await stream.update_stream(config)
