"""Sends a request to `generate`, and keeps the HTTP exchange open while the video is rendered."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

import httpx

from functions.dispatch.requests.deletion_cost import DeletionCosts
from functions.dispatch.sinks import PERMANENT_REFUSALS
from functions.shared import request_ids
from functions.shared.streams.bus import Message
from functions.shared.streams.cloudevents import ReceivedEvent, write_binary
from functions.shared.subjects import VideoKey
from functions.shared.video.events import Failure

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS: Final = 5.0
# Response header in which `generate` names the replica: in a cluster, its pod.
WORKER_HEADER: Final = "x-kinora-worker"


class SinkOutcome(Enum):
    """How an exchange ended. The video's state is only ever read from the stream.

    Attributes:
        CLOSED: the response began, or may have begun, and is over.
        BUSY: no replica took the request.
        REFUSED: no replica will ever take the request.
    """

    CLOSED = auto()
    BUSY = auto()
    REFUSED = auto()


@dataclass(frozen=True)
class SinkResponse:
    """The outcome of an exchange; `failure` is the reason of a permanent refusal."""

    outcome: SinkOutcome
    failure: Failure | None = None


class RequestSink(Protocol):
    """Where requests are sent: `HttpSink`, or a test's stand-in."""

    def send_request(self, message: Message, event: ReceivedEvent) -> SinkResponse:
        """Send the request in `message`, decoded as `event`, and wait until the exchange is over.

        Never raises for what comes back.
        """


class HttpSink:
    """`generate` behind its URL. Safe to use from any thread."""

    def __init__(
        self,
        url: str,
        *,
        first_byte_seconds: float,
        silence_seconds: float,
        extensions: Mapping[str, str],
        deletion_costs: DeletionCosts | None = None,
    ) -> None:
        """Send to `url`.

        Args:
            url: the sink.
            first_byte_seconds: how long the response may take to begin. Waiting for it is what
                makes the autoscaler start a replica, so it covers pod start and model load.
            silence_seconds: the longest pause within a response that has begun.
            extensions: attributes to add to every event (a SinkBinding's `ceOverrides`).
            deletion_costs: marks the replica that renders the video, in a cluster.
        """
        self._url = url
        self._first_byte_seconds = first_byte_seconds
        self._silence_seconds = silence_seconds
        self._extensions = dict(extensions)
        self._deletion_costs = deletion_costs
        # One connection for each slot: no request may wait for the pool.
        self._client = httpx.Client(limits=httpx.Limits(max_connections=None))

    def send_request(self, message: Message, event: ReceivedEvent) -> SinkResponse:
        """See `RequestSink.send_request`."""
        key = VideoKey.from_subject(message.subject)
        headers, body = write_binary(
            event,
            **self._extensions,
            subject=key.video_id,
            account=key.account,
            sequence=str(message.seq),
        )
        sent_for = request_ids.current_request_id()
        if sent_for is not None:
            headers[request_ids.HEADER] = sent_for
        timeout = httpx.Timeout(CONNECT_TIMEOUT_SECONDS, read=self._first_byte_seconds)
        try:
            with self._client.stream(
                "POST", self._url, content=body, headers=headers, timeout=timeout
            ) as response:
                if response.status_code == httpx.codes.OK:
                    self._read_to_end(response)
                    return SinkResponse(SinkOutcome.CLOSED)
                return _refusal(response)
        except httpx.ConnectError as problem:
            log.info("no connection to generate: %s", problem)
            return SinkResponse(SinkOutcome.BUSY)
        except httpx.HTTPError as problem:
            log.info("the connection to generate was lost: %r", problem)
            return SinkResponse(SinkOutcome.CLOSED)

    def _read_to_end(self, response: httpx.Response) -> None:
        # httpcore reads the timeout when it starts reading the body.
        response.request.extensions["timeout"]["read"] = self._silence_seconds
        costs = self._deletion_costs
        pod = response.headers.get(WORKER_HEADER)
        with costs.busy(pod) if costs else contextlib.nullcontext():
            for line in response.iter_lines():
                log.debug("generate: %s", line)


def _refusal(response: httpx.Response) -> SinkResponse:
    response.read()
    if response.status_code not in PERMANENT_REFUSALS:
        log.info("generate responded with %d", response.status_code)
        return SinkResponse(SinkOutcome.BUSY)
    code, message = "refused", f"generate refused the request ({response.status_code})"
    try:
        error = response.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        log.warning("generate refused without a reason: %s", response.text[:200])
    return SinkResponse(SinkOutcome.REFUSED, Failure(code=code, message=message))
