"""Upgrades from versions without turns, in which a consumer of REQUESTS was the queue."""

from __future__ import annotations

import json
import logging
from typing import Final

from nats.aio.client import Client
from nats.js.errors import BadRequestError, NotFoundError

from functions.shared.streams.consumers import GENERATE_CONSUMER
from functions.shared.streams.queue_state import QueueState
from functions.shared.subjects import QUEUE_SUBJECT, REQUESTS

log = logging.getLogger(__name__)

TIMEOUT: Final = 5.0


async def retire_requests_consumer(client: Client) -> None:
    """Write down what the consumer knows, and delete it once nobody pulls from it.

    It knows which requests have ended: otherwise, one whose event was lost would be made again.
    Processes of an earlier version may still use it, and share the work meanwhile: every video has
    one worker, whoever sends its request.

    Raises:
        nats.errors.Error, TimeoutError: NATS does not answer, or refuses.
    """
    stream = client.jetstream(timeout=TIMEOUT)
    try:
        info = await stream.consumer_info(REQUESTS, GENERATE_CONSUMER)
    except NotFoundError:
        return
    # As the server writes it: nats-py rounds it to microseconds.
    answer = await client.request(f"$JS.API.STREAM.INFO.{REQUESTS}", timeout=TIMEOUT)
    created = json.loads(answer.data)["created"]
    ended = 0 if info.ack_floor is None else info.ack_floor.stream_seq
    state = QueueState(created=created, requests=ended)
    headers = {"Nats-Expected-Last-Subject-Sequence": "0"}
    try:
        await stream.publish(QUEUE_SUBJECT, state.model_dump_json().encode(), headers=headers)
    except BadRequestError:
        log.debug("the state of the queue is known already")
    if info.num_waiting:
        log.info("the consumer of REQUESTS is in use; the next run of this command deletes it")
        return
    await stream.delete_consumer(REQUESTS, GENERATE_CONSUMER)
    log.info("the consumer of REQUESTS was replaced by the stream TURNS")
