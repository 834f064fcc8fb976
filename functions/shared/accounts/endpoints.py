"""Webhook endpoints: they are notified how an account's videos end."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

from functions.shared.video.events import EventName

# Names of the webhooks' consumers begin with it, and no others.
CONSUMER_PREFIX: Final = "webhook-"
# Deletions send no webhook: the caller who deletes a video has the response.
NOTIFIED_EVENTS: Final = (EventName.COMPLETED, EventName.FAILED, EventName.CANCELLED)
# Standard Webhooks 1.0.0, "Signature scheme": 192 to 512 bits.
_SECRET_BYTES: Final = range(24, 65)
_PREFIX_OF_SECRETS: Final = "whsec_"
# Characters of a URL. Any others must be percent-encoded, or a host's written in punycode.
_URL: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Endpoint:
    """Receives webhooks of an account. With several secrets, each message is signed with all.

    The URL is confidential too: many services put a token into it.
    """

    account: str
    url: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)

    @property
    def name(self) -> str:
        """Its name in logs: the account and the host, without anything confidential."""
        return f"{self.account} at {self.host}"

    @property
    def host(self) -> str:
        """Where it is, without the path."""
        return str(urlsplit(self.url).hostname)

    @property
    def consumer(self) -> str:
        """The name of its durable consumer, which follows from the account and the URL."""
        digest = hashlib.sha256(self.url.encode()).hexdigest()
        return f"{CONSUMER_PREFIX}{self.account}-{digest[:16]}"

    @property
    def subjects(self) -> list[str]:
        """The subjects of the events that it is notified of."""
        return [f"kinora.videos.{self.account}.*.{event}" for event in NOTIFIED_EVENTS]


def check_url(url: str, *, plain_http: bool) -> None:
    """Check that webhooks can be sent to `url`; with `plain_http`, also without encryption.

    Raises:
        ValueError: they can't; the message does not repeat the URL.
    """
    parts = _split_url(url)
    if parts is None or parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("must be like https://example.com/path, in ASCII")
    if parts.scheme == "http" and not plain_http:
        raise ValueError("must be https; http needs WEBHOOK_ALLOWED_NETWORKS")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("must have no user, password or fragment")


def _split_url(url: str) -> SplitResult | None:
    if _URL.fullmatch(url) is None:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # read to check it
    except ValueError:
        return None
    return parts


def secret_bytes(secret: str) -> bytes:
    """The key in a secret as Standard Webhooks writes it.

    Raises:
        ValueError: it is invalid; the message does not repeat it.
    """
    expected = f"must be '{_PREFIX_OF_SECRETS}' and base64 of 24 to 64 random bytes"
    if not secret.startswith(_PREFIX_OF_SECRETS):
        raise ValueError(expected)
    try:
        # Receivers decode it strictly, so the padding is required.
        decoded = base64.b64decode(secret.removeprefix(_PREFIX_OF_SECRETS), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(expected) from None
    if len(decoded) not in _SECRET_BYTES:
        raise ValueError(expected)
    return decoded
