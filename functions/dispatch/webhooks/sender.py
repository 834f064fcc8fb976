"""One attempt to deliver a webhook: a POST, and what its answer means."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpcore

from functions.dispatch.webhooks.addresses import GuardedNetwork
from functions.dispatch.webhooks.message import Webhook
from functions.dispatch.webhooks.retries import read_retry_after
from functions.shared.endpoints import Endpoint
from functions.shared.networks import Network

log = logging.getLogger(__name__)

_OK: Final = range(200, 300)
_GONE: Final = 410
# "Delivery success and failure": the endpoint has too much to do.
_OVERLOADED: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Answer:
    """How an attempt ended.

    Attributes:
        status: of the HTTP response, or None if there was none.
        problem: for people, where the webhook was not taken.
        retry_after: seconds that the endpoint asked for.
    """

    status: int | None
    problem: str = ""
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        """The endpoint has taken the webhook."""
        return self.status in _OK

    @property
    def gone(self) -> bool:
        """The endpoint wants to hear nothing any more."""
        return self.status == _GONE

    @property
    def overloaded(self) -> bool:
        """The endpoint should be left alone for a while."""
        return self.status in _OVERLOADED


class Sender:
    """POSTs webhooks to one endpoint, each over a connection of its own.

    Videos take minutes, so connections are not worth keeping, and each name is looked up, and its
    addresses checked, every time.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        networks: Sequence[Network],
        seconds: float,
        certificates: ssl.SSLContext,
    ) -> None:
        """Send to `endpoint`.

        Args:
            endpoint: where, and with which secrets.
            networks: addresses beside the public internet that may be called, with http too.
            seconds: how long an attempt may take, from the lookup to the head of the answer.
            certificates: whom to believe that an address is the endpoint.
        """
        self._endpoint = endpoint
        self._seconds = seconds
        self._certificates = certificates
        encrypted = urlsplit(endpoint.url).scheme == "https"
        self._network = GuardedNetwork(networks, public=encrypted)

    async def send(self, webhook: Webhook) -> Answer:
        """Make one attempt. Never raises for what the endpoint does."""
        try:
            # For all of it together: one byte now and then would satisfy any other limit.
            async with asyncio.timeout(self._seconds):
                return await self._post(webhook)
        except TimeoutError:
            return Answer(None, f"no answer within {self._seconds:g} s")
        except (OSError, *_NETWORK_FAILURES) as problem:
            return Answer(None, str(problem) or type(problem).__name__)
        except Exception:
            # Counted like any other failure, so that it is not tried for ever.
            log.exception("%s could not be called", self._endpoint.name)
            return Answer(None, "an internal error")

    async def _post(self, webhook: Webhook) -> Answer:
        now = time.time()
        headers = webhook.headers(self._endpoint, now) | {"connection": "close"}
        # httpcore itself follows no redirects, and reads no proxy settings.
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=self._certificates, network_backend=self._network
            ) as pool,
            pool.stream(
                "POST", self._endpoint.url, headers=[*headers.items()], content=webhook.body
            ) as response,
        ):
            # Its body is nothing to us, and is not read.
            retry_after = next(
                (value for name, value in response.headers if name.lower() == b"retry-after"), None
            )
            text = None if retry_after is None else retry_after.decode("latin-1")
            return Answer(
                response.status, f"it answered {response.status}", read_retry_after(text, now)
            )


_NETWORK_FAILURES: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)
