"""Forwards events of videos to K_SINK: a Broker, or any receiver of CloudEvents over HTTP.

At least once, in no particular order.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import httpx

from functions.dispatch.dispatcher import MAX_REDELIVERY_DELAY, redelivery_delay
from functions.dispatch.sinks import PERMANENT_REFUSALS
from functions.shared import request_ids
from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Delivery
from functions.shared.streams.cloudevents import read_nats, write_binary
from functions.shared.subjects import VideoKey

log = logging.getLogger(__name__)

# A Broker responds once it has stored the event.
SINK_TIMEOUT_SECONDS: Final = 30.0


class Forwarder:
    """Settles deliveries of events. Safe to use from any thread."""

    def __init__(self, url: str, extensions: Mapping[str, str]) -> None:
        """POST to `url`; `extensions` (a SinkBinding's `ceOverrides`) are added to each event."""
        self._url = url
        self._extensions = dict(extensions)
        self._client = httpx.Client(
            limits=httpx.Limits(max_connections=None), timeout=SINK_TIMEOUT_SECONDS
        )

    def handle(self, delivery: Delivery) -> None:
        """Send one event, and settle its delivery according to the response.

        Raises:
            Unavailable: NATS does not answer; the event is redelivered after `ack_wait`.
        """
        message = delivery.message
        try:
            event = read_nats(message.headers, message.data)
            key = VideoKey.from_subject(message.subject)
        except InvalidRequest as problem:
            log.warning("dropped: %s: %s", message.subject, problem.message)
            delivery.term(problem.message)
            return
        sent_for = request_ids.request_id_of(event.attributes)
        extensions = self._extensions | ({request_ids.EXTENSION: sent_for} if sent_for else {})
        headers, body = write_binary(event, **extensions, subject=key.video_id, account=key.account)
        status, description = self._post(headers, body)
        if status is not None and httpx.codes.is_success(status):
            delivery.ack()
        elif status in PERMANENT_REFUSALS:
            log.error("%s: the sink refused the event: %s", message.subject, description)
            delivery.term(f"the sink responded with {status}")
        else:
            log.warning("%s: will be sent again: %s", message.subject, description)
            delivery.nak(redelivery_delay())

    def handle_failure(self, delivery: Delivery, problem: Exception) -> None:  # noqa: ARG002 - logged already
        """Redeliver an event after an internal error."""
        delivery.nak(MAX_REDELIVERY_DELAY)

    def _post(self, headers: Mapping[str, str], body: bytes) -> tuple[int | None, str]:
        """The status of the response, None without one; and a description for the log."""
        try:
            response = self._client.post(self._url, content=body, headers=dict(headers))
        except httpx.HTTPError as problem:
            return None, f"{type(problem).__name__}: {problem}"
        return response.status_code, f"{response.status_code} {response.text[:200]}"
