"""`dispatch` with another consumer and another sink: sends what happened to videos to K_SINK.

For a Broker, or whatever else takes CloudEvents over HTTP. At least once, in no particular order.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from typing import Final

import httpx

from functions.dispatch.sink import FOR_GOOD
from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Delivery
from functions.shared.streams.cloudevents import read_nats, write_binary
from functions.shared.subjects import VideoKey

log = logging.getLogger(__name__)

# A Broker answers when it has stored the event.
TIMEOUT: Final = 30.0
# An event that waits for its turn again holds one of the slots.
MAX_DELAY: Final = 10.0


class Forwarder:
    """Settles deliveries of events. Safe to use from any thread."""

    def __init__(self, url: str, extensions: Mapping[str, str]) -> None:
        """POST to `url`; `extensions` (a SinkBinding's `ceOverrides`) are added to each event."""
        self._url = url
        self._extensions = dict(extensions)
        self._client = httpx.Client(limits=httpx.Limits(max_connections=None), timeout=TIMEOUT)

    def handle(self, delivery: Delivery) -> None:
        """Send one event, and settle its delivery by the answer.

        Raises:
            Unavailable: NATS does not answer; the event is delivered again by itself.
        """
        message = delivery.message
        try:
            event = read_nats(message.headers, message.data)
            key = VideoKey.from_subject(message.subject)
        except InvalidRequest as problem:
            log.warning("dropped: %s: %s", message.subject, problem.message)
            delivery.term(problem.message)
            return
        headers, body = write_binary(
            event, **self._extensions, subject=key.video_id, account=key.account
        )
        status, problem_text = self._post(headers, body)
        if status is not None and httpx.codes.is_success(status):
            delivery.ack()
        elif status in FOR_GOOD:
            log.error("%s: the sink refuses it: %s", message.subject, problem_text)
            delivery.term(f"the sink answered {status}")
        else:
            log.warning("%s: sent again: %s", message.subject, problem_text)
            delivery.nak(random.uniform(1, MAX_DELAY))  # noqa: S311 - jitter is no secret

    def stumble(self, delivery: Delivery, problem: Exception) -> None:  # noqa: ARG002 - logged already
        """Settle a delivery over which this program stumbled: again, later."""
        delivery.nak(MAX_DELAY)

    def _post(self, headers: Mapping[str, str], body: bytes) -> tuple[int | None, str]:
        try:
            answer = self._client.post(self._url, content=body, headers=dict(headers))
        except httpx.HTTPError as problem:
            return None, f"{type(problem).__name__}: {problem}"
        return answer.status_code, f"{answer.status_code} {answer.text[:200]}"
