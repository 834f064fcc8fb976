"""Webhook endpoints, read from a file: they are notified how an account's videos end."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from functions.shared.config import Settings
from functions.shared.subjects import is_token
from functions.shared.video.events import EventName

# Names of the webhooks' consumers begin with it, and no others.
CONSUMER_PREFIX: Final = "webhook-"
# Deletions send no webhook: the caller who deletes a video has the response.
NOTIFIED_EVENTS: Final = (EventName.COMPLETED, EventName.FAILED, EventName.CANCELLED)
# Standard Webhooks 1.0.0, "Signature scheme": 192 to 512 bits.
_SECRET_BYTES: Final = range(24, 65)
_PREFIX_OF_SECRETS: Final = "whsec_"
_FIELDS: Final = 3
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
        return f"{self.account} at {urlsplit(self.url).hostname}"

    @property
    def consumer(self) -> str:
        """The name of its durable consumer, which follows from the account and the URL."""
        digest = hashlib.sha256(self.url.encode()).hexdigest()
        return f"{CONSUMER_PREFIX}{self.account}-{digest[:16]}"

    @property
    def subjects(self) -> list[str]:
        """The subjects of the events that it is notified of."""
        return [f"kinora.videos.{self.account}.*.{event}" for event in NOTIFIED_EVENTS]


def read_endpoints(settings: Settings) -> list[Endpoint]:
    """Read WEBHOOKS_FILE: lines of `account url whsec_secret`, blank lines, and `#` comments.

    Lines with the same account and URL are one endpoint with several secrets, in the file's order,
    so that a secret can be rotated while both are valid. Without the setting there are no
    endpoints. Plain `http` is for networks that the operator allows, so it needs at least one.

    Raises:
        ValueError: a line is invalid; the message names its number, not its content.
        OSError: the file can't be read.
    """
    path, plain_http = settings.webhooks_file, bool(settings.webhook_allowed_networks)
    found: dict[tuple[str, str], list[bytes]] = {}
    lines = Path(path).read_text().splitlines() if path is not None else []
    for number, text in enumerate(lines, 1):
        fields = text.split()
        if not fields or fields[0].startswith("#"):
            continue
        try:
            account, url, secret = _parse_fields(fields, plain_http=plain_http)
        except ValueError as problem:
            raise ValueError(f"{path}, line {number}: {problem}") from None
        found.setdefault((account, url), []).append(secret)
    return [Endpoint(account, url, tuple(secrets)) for (account, url), secrets in found.items()]


def _parse_fields(fields: list[str], *, plain_http: bool) -> tuple[str, str, bytes]:
    if len(fields) != _FIELDS:
        raise ValueError(f"expected 'account url {_PREFIX_OF_SECRETS}secret'")
    account, url, secret = fields
    if not is_token(account):
        raise ValueError("the account must be 1 to 64 letters, digits, '_' or '-'")
    _check_url(url, plain_http=plain_http)
    return account, url, _secret_bytes(secret)


def _check_url(url: str, *, plain_http: bool) -> None:
    parts = _split_url(url)
    if parts is None or parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("the URL must be like https://example.com/path, in ASCII")
    if parts.scheme == "http" and not plain_http:
        raise ValueError("the URL must be https; http needs WEBHOOK_ALLOWED_NETWORKS")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("the URL must have no user, password or fragment")


def _split_url(url: str) -> SplitResult | None:
    if _URL.fullmatch(url) is None:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # read to check it
    except ValueError:
        return None
    return parts


def _secret_bytes(secret: str) -> bytes:
    expected = f"the secret must be '{_PREFIX_OF_SECRETS}' and base64 of 24 to 64 random bytes"
    if not secret.startswith(_PREFIX_OF_SECRETS):
        raise ValueError(expected)
    try:
        # Receivers decode it strictly, so the padding is required.
        decoded = base64.b64decode(secret.removeprefix(_PREFIX_OF_SECRETS), validate=True)
    except binascii.Error:
        raise ValueError(expected) from None
    if len(decoded) not in _SECRET_BYTES:
        raise ValueError(expected)
    return decoded
