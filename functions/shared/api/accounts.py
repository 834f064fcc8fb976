"""Which account a caller acts for: API keys, kept as digests only."""

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
_LINE: Final = re.compile(r"([0-9a-f]{64})\s+(\S+)")


class Accounts:
    """Maps an `Authorization` header to an account; without keys there is one, `default`."""

    def __init__(self, by_digest: Mapping[str, str] | None) -> None:
        """Take `sha256(key) -> account`, or None to ask for no key at all."""
        self._by_digest = by_digest

    @classmethod
    def from_file(cls, path: str | None) -> Accounts:
        """Read lines of `sha256(key) account`; blank lines and `#` comments are passed over.

        Raises:
            ValueError: a line is not of that form; the message names its number, not its content.
        """
        if path is None:
            log.warning("API_KEYS_FILE is not set: everybody may use the account 'default'")
            return cls(None)
        by_digest: dict[str, str] = {}
        for number, text in enumerate(Path(path).read_text().splitlines(), 1):
            line = text.strip()
            if not line or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line)
            if match is None or not is_token(match[2]):
                raise ValueError(f"{path}, line {number}: expected 'sha256-of-key account'")
            by_digest[match[1]] = match[2]
        return cls(by_digest)

    def account(self, authorization: str | None) -> str:
        """The account of a caller who sent this `Authorization` header.

        Raises:
            Unauthorized: keys are asked for, and this is none of them.
        """
        if self._by_digest is None:
            return DEFAULT_ACCOUNT
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthorized
        # A digest is looked up, so the time it takes says nothing about the keys themselves.
        account = self._by_digest.get(hashlib.sha256(key.strip().encode()).hexdigest())
        if account is None:
            raise Unauthorized("This API key is not known. Check it, or ask for a new one.")
        return account

    def video_key(self, authorization: str | None, video_id: str) -> VideoKey:
        """The video that a caller means; whether it exists is another question.

        Raises:
            Unauthorized: see `account`.
            VideoNotFound: no video can have such an id.
        """
        account = self.account(authorization)
        if not is_token(video_id):
            raise VideoNotFound
        return VideoKey(account, video_id)
