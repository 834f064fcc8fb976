"""API keys, stored as SHA-256 hashes only, and the accounts they belong to."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from functions.shared.errors import Unauthorized, VideoNotFound
from functions.shared.subjects import VideoKey, is_token

log = logging.getLogger(__name__)

DEFAULT_ACCOUNT: Final = "default"
_STANDARD_INPUT: Final = "-"
_LINE: Final = re.compile(r"([0-9a-f]{64})\s+(\S+)")


class Accounts:
    """Maps an `Authorization` header to an account; without keys, there is only `default`."""

    def __init__(self, by_key_hash: Mapping[str, str] | None) -> None:
        """Accept the keys of `sha256(key) -> account`; None accepts every request."""
        self._by_key_hash = by_key_hash

    @classmethod
    def from_file(cls, path: str | None) -> Accounts:
        """Read lines of `sha256(key) account`, ignoring blank lines and `#` comments.

        Raises:
            ValueError: a line has another form, or gives a key to a second account; the message has
                its number, not its content.
        """
        if path is None:
            log.warning("API_KEYS_FILE is not set: anyone may use the account 'default'")
            return cls(None)
        by_key_hash: dict[str, str] = {}
        for number, text in enumerate(Path(path).read_text().splitlines(), 1):
            line = text.strip()
            if not line or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line)
            if match is None or not is_token(match[2]):
                raise ValueError(f"{path}, line {number}: expected 'sha256-of-key account'")
            if match[2] == _STANDARD_INPUT:
                raise ValueError(
                    f"{path}, line {number}: the account is '-', which sha256sum writes for its "
                    "standard input; write the account's name in its place"
                )
            if by_key_hash.get(match[1], match[2]) != match[2]:
                raise ValueError(
                    f"{path}, line {number}: an earlier line gives this key to another account"
                )
            by_key_hash[match[1]] = match[2]
        return cls(by_key_hash)

    def account(self, authorization: str | None) -> str:
        """The account of a caller who sent this `Authorization` header.

        Raises:
            Unauthorized: a key is required, and this is not a valid one.
        """
        if self._by_key_hash is None:
            return DEFAULT_ACCOUNT
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthorized
        # Looking up a hash takes a time that says nothing about the keys themselves.
        account = self._by_key_hash.get(hashlib.sha256(key.strip().encode()).hexdigest())
        if account is None:
            raise Unauthorized("This API key is not valid. Check it, or ask for a new one.")
        return account

    def video_key(self, authorization: str | None, video_id: str) -> VideoKey:
        """The key of a caller's video, which may or may not exist.

        Raises:
            Unauthorized: see `account`.
            VideoNotFound: no video can have this id.
        """
        account = self.account(authorization)
        if not is_token(video_id):
            raise VideoNotFound
        return VideoKey(account, video_id)
