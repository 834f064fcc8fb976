"""Sending a request to `generate`, and staying on the line for as long as the video takes."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import httpx

from functions.dispatch.deletion_cost import DeletionCosts
from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Message
from functions.shared.streams.cloudevents import read_nats, write_binary
from functions.shared.subjects import VideoKey
from functions.shared.video.events import Failure

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 5.0
# In which `generate` says which of its replicas answers: in a cluster, the name of its pod.
WORKER_HEADER: Final = "x-kinora-worker"
# What a worker answers to a request that no worker can ever run.
FOR_GOOD: Final = frozenset({400, 413, 414, 422, 431})


class Ending(Enum):
    """What is known when the exchange is over. What became of the video, only the stream says."""

    CLOSED = auto()
    BUSY = auto()
    REFUSED = auto()


@dataclass(frozen=True)
class Answer:
    """How an exchange ended; `failure` tells why a request was refused for good."""

    ending: Ending
    failure: Failure | None = None


class Sink:
    """The address behind which `generate` runs. Safe to use from any thread."""

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
            first_byte_seconds: how long an answer may take to begin. Waiting for it is what makes
                the autoscaler start a replica, so it covers pod start and model load.
            silence_seconds: how long an answer that has begun may pause.
            extensions: attributes to add to every event (a SinkBinding's `ceOverrides`).
            deletion_costs: where to mark the replica that makes a video, in a cluster.
        """
        self._url = url
        self._first_byte_seconds = first_byte_seconds
        self._silence_seconds = silence_seconds
        self._extensions = dict(extensions)
        self._deletion_costs = deletion_costs
        # One connection a slot; the pool must never be what a request waits for.
        self._client = httpx.Client(limits=httpx.Limits(max_connections=None))

    def send(self, message: Message) -> Answer:
        """Send a valid request and read the answer to its end; never raises for what comes back."""
        key = VideoKey.from_subject(message.subject)
        headers, body = write_binary(
            read_nats(message.headers, message.data),
            **self._extensions,
            subject=key.video_id,
            account=key.account,
            sequence=str(message.seq),
        )
        timeout = httpx.Timeout(CONNECT_SECONDS, read=self._first_byte_seconds)
        try:
            with self._client.stream(
                "POST", self._url, content=body, headers=headers, timeout=timeout
            ) as response:
                if response.status_code == httpx.codes.OK:
                    self._listen(response)
                    return Answer(Ending.CLOSED)
                return _refusal(response)
        except httpx.ConnectError as problem:
            log.info("%s: no connection: %s", key.video_id, problem)
            return Answer(Ending.BUSY)
        except httpx.HTTPError as problem:
            log.info("%s: the connection was lost: %r", key.video_id, problem)
            return Answer(Ending.CLOSED)

    def _listen(self, response: httpx.Response) -> None:
        # httpcore asks for the limit when it begins to read the body.
        response.request.extensions["timeout"]["read"] = self._silence_seconds
        costs = self._deletion_costs
        pod = response.headers.get(WORKER_HEADER)
        with costs.busy(pod) if costs else contextlib.nullcontext():
            for line in response.iter_lines():
                log.debug("generate: %s", line)


def _refusal(response: httpx.Response) -> Answer:
    response.read()
    if response.status_code not in FOR_GOOD:
        log.info("generate answered %d", response.status_code)
        return Answer(Ending.BUSY)
    code, message = "refused", f"generate refused the request ({response.status_code})"
    try:
        error = response.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        log.warning("generate refused without a reason: %s", response.text[:200])
    return Answer(Ending.REFUSED, Failure(code=code, message=message))


def read_overrides(text: str | None) -> dict[str, str]:
    """The attributes of a SinkBinding's K_CE_OVERRIDES (`{"extensions": {...}}`), often empty.

    Raises:
        Unavailable: it is not of that form.
    """
    if not text:
        return {}
    try:
        extensions = json.loads(text).get("extensions", {})
        return {str(name): str(value) for name, value in extensions.items()}
    except (ValueError, AttributeError) as problem:
        raise Unavailable(f"K_CE_OVERRIDES can't be read: {problem}") from None
