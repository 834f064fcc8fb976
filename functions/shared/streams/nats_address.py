"""NATS_URL: where the servers are, and as whom to talk to them."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import unquote, urlsplit

_PASSWORD: Final = re.compile(r"(?<=://)[^@/,]+@")


def client_options(url: str) -> dict[str, Any]:
    """What `nats.connect` needs to know of `url`: `nats://[user:password@]host:port`, ...

    User and password are those of the first address, and go to every server, also to those of which
    only the cluster tells. A user has inboxes of their own, `_INBOX.<user>`, so that a server's
    permissions can keep the answers to one function from all others.
    """
    addresses = [urlsplit(part.strip()) for part in url.split(",")]
    options: dict[str, Any] = {
        "servers": [f"{part.scheme}://{part.netloc.rpartition('@')[2]}" for part in addresses]
    }
    if addresses[0].username is not None:
        user = unquote(addresses[0].username)
        options["user"] = user
        options["password"] = unquote(addresses[0].password or "")
        options["inbox_prefix"] = f"_INBOX.{user}"
    return options


def without_password(url: str) -> str:
    """The addresses in `url`, for logs and messages."""
    return _PASSWORD.sub("", url)
