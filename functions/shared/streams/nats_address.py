"""Parses NATS_URL: the servers' addresses, the user and the password."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import unquote, urlsplit

_PASSWORD: Final = re.compile(r"(?<=://)[^@/,]+@")


def client_options(url: str) -> dict[str, Any]:
    """Options of `nats.connect` for `url`: `nats://[user:password@]host:port`, comma-separated.

    The user and password of the first address are used for every server, including those that the
    cluster advertises. Each user has its own inbox prefix, `_INBOX.<user>`, so that permissions
    can hide the responses to one function from the others.
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
    """`url` without passwords, for logs and messages."""
    return _PASSWORD.sub("", url)
