"""One attempt to deliver a webhook: the POST, and how its response is understood."""

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
from functions.dispatch.webhooks.retries import parse_retry_after
from functions.shared.accounts.endpoints import Endpoint
from functions.shared.networks import Network

log = logging.getLogger(__name__)

_SUCCESS: Final = range(200, 300)
_GONE: Final = 410
# "Delivery success and failure": the endpoint asks for a lower rate.
_OVERLOADED: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class DeliveryResult:
    """How an attempt ended.

    Attributes:
        status: of the HTTP response, or None without one.
        problem: for people, why the webhook was not delivered.
        retry_after: seconds that the endpoint asked for.
    """

    status: int | None
    problem: str = ""
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        """The endpoint accepted the webhook."""
        return self.status in _SUCCESS

    @property
    def gone(self) -> bool:
        """The endpoint wants no more webhooks."""
        return self.status == _GONE

    @property
    def overloaded(self) -> bool:
        """The endpoint needs a pause."""
        return self.status in _OVERLOADED


class WebhookSender:
    """POSTs webhooks to one endpoint, each over a new connection.

    Videos take minutes, so connections are not worth keeping; and the endpoint's name is resolved,
    and its addresses checked, every time.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        networks: Sequence[Network],
        timeout_seconds: float,
        certificates: ssl.SSLContext,
    ) -> None:
        """Send to `endpoint`.

        Args:
            endpoint: the URL, and the secrets to sign with.
            networks: permitted besides the public internet, also with http.
            timeout_seconds: limit of an attempt, from the name's lookup to the response's head.
            certificates: the authorities that are trusted.
        """
        self._endpoint = endpoint
        self._timeout_seconds = timeout_seconds
        self._certificates = certificates
        encrypted = urlsplit(endpoint.url).scheme == "https"
        self._network = GuardedNetwork(networks, public=encrypted)

    async def send_webhook(self, webhook: Webhook) -> DeliveryResult:
        """Make one attempt. Never raises for what the endpoint does."""
        try:
            # One limit for the whole attempt: a byte now and then would satisfy any other.
            async with asyncio.timeout(self._timeout_seconds):
                return await self._post(webhook)
        except TimeoutError:
            return DeliveryResult(None, f"no response within {self._timeout_seconds:g} s")
        except (OSError, *_NETWORK_FAILURES) as problem:
            return DeliveryResult(None, str(problem) or type(problem).__name__)
        except Exception:
            # Counted as a failed attempt, so that retries end.
            log.exception("unexpected error in a webhook to %s", self._endpoint.name)
            return DeliveryResult(None, "an internal error")

    async def _post(self, webhook: Webhook) -> DeliveryResult:
        now = time.time()
        headers = webhook.headers(self._endpoint, now) | {"connection": "close"}
        # httpcore follows no redirects and reads no proxy settings.
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=self._certificates, network_backend=self._network
            ) as pool,
            pool.stream(
                "POST", self._endpoint.url, headers=[*headers.items()], content=webhook.body
            ) as response,
        ):
            # The response's body has no meaning here, and is not read.
            retry_after = next(
                (value for name, value in response.headers if name.lower() == b"retry-after"), None
            )
            text = None if retry_after is None else retry_after.decode("latin-1")
            return DeliveryResult(
                response.status, f"status {response.status}", parse_retry_after(text, now)
            )


_NETWORK_FAILURES: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)
