"""Which account a caller uses: that of its API key, of which only the SHA-256 digest is known."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from typing import Final

from functions.shared.accounts.file import AccountsFile
from functions.shared.errors import Unauthorized, VideoNotFound
from functions.shared.subjects import VideoKey, is_token

log = logging.getLogger(__name__)

DEFAULT_ACCOUNT: Final = "default"


class Accounts:
    """Maps an `Authorization` header to an account; without keys, there is only `default`."""

    def __init__(self, file: AccountsFile | None) -> None:
        """Accept the keys in `file`; without it, every request."""
        self._file = file
        if file is None:
            log.warning("ACCOUNTS_FILE is not set: anyone may use the account 'default'")
        elif not file.document.keys_required:
            log.warning("keys_required is false: anyone may use the account 'default'")

    def account(self, authorization: str | None) -> str:
        """The account of a caller who sent this `Authorization` header.

        Raises:
            Unauthorized: a key is required, and this is not a valid one.
        """
        if self._file is None or not self._file.document.keys_required:
            return DEFAULT_ACCOUNT
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthorized
        # Looking up a digest takes a time that says nothing about the keys themselves.
        digest = hashlib.sha256(key.strip().encode()).hexdigest()
        holder = self._file.document.holders.get(digest)
        if holder is None:
            raise Unauthorized("This API key is not valid. Check it, or ask for a new one.")
        if holder.expires is not None and holder.expires <= datetime.now(UTC):
            raise Unauthorized("This API key has expired. Ask for a new one.")
        return holder.account

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
