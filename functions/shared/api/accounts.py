"""Which account a caller uses: that of its API key, of which only the SHA-256 digest is known."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from typing import Final

from structlog.contextvars import bind_contextvars

from functions.shared.accounts.document import KeyHolder
from functions.shared.accounts.file import AccountsFile
from functions.shared.api.rate_limits import RateLimits
from functions.shared.errors import Unauthorized, VideoNotFound
from functions.shared.subjects import VideoKey, is_token

log = logging.getLogger(__name__)

DEFAULT_ACCOUNT: Final = "default"


class Accounts:
    """Maps an `Authorization` header to an account; without keys, there is only `default`.

    It also knows the limits of accounts, and refuses requests beyond that of requests a second.
    """

    def __init__(
        self, file: AccountsFile | None, *, requests_per_second: float, max_queued: int | None
    ) -> None:
        """Accept the keys in `file`; without it, every request.

        The limits are those of accounts without their own; None is no limit.
        """
        self._file = file
        self._requests_per_second = requests_per_second
        self._max_queued = max_queued
        self._rates = RateLimits()
        if file is None:
            log.warning("ACCOUNTS_FILE is not set: anyone may use the account 'default'")
        elif not file.document.keys_required:
            log.warning("keys_required is false: anyone may use the account 'default'")

    def account(self, authorization: str | None) -> str:
        """The account of who sent the current HTTP request, with this `Authorization` header.

        Raises:
            Unauthorized: see `account_of`.
            RateLimited: the account sends too many requests.
        """
        account = self.account_of(authorization)
        bind_contextvars(account=account)
        own = self._file and self._file.document.account(account).requests_per_second
        self._rates.admit(account, own or self._requests_per_second)
        return account

    def max_queued(self, account: str) -> int | None:
        """How many requests of an account may wait in the queue; None: as many as there is room."""
        own = self._file and self._file.document.account(account).max_queued
        return own or self._max_queued

    def account_of(self, authorization: str | None) -> str:
        """The account of an `Authorization` header. Counts no request.

        Raises:
            Unauthorized: a key is required, and this is not a valid one.
        """
        holder = self._holder(authorization)
        return DEFAULT_ACCOUNT if holder is None else holder.account

    def is_operator(self, authorization: str | None) -> bool:
        """Whether a caller with this `Authorization` header may read what all accounts used.

        Raises:
            Unauthorized: see `account_of`.
        """
        holder = self._holder(authorization)
        return holder is not None and holder.role == "operator"

    def _holder(self, authorization: str | None) -> KeyHolder | None:
        """Whose key it is; None if no key is required."""
        if self._file is None or not self._file.document.keys_required:
            return None
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
        return holder

    def is_key_of(self, account: str, authorization: str | None) -> bool:
        """Whether a caller who sent this `Authorization` header is one of `account`, by now."""
        try:
            return self.account_of(authorization) == account
        except Unauthorized:
            return False

    def video_key(self, authorization: str | None, video_id: str) -> VideoKey:
        """The key of a caller's video, which may or may not exist.

        Raises:
            Unauthorized, RateLimited: see `account`.
            VideoNotFound: no video can have this id.
        """
        account = self.account(authorization)
        if not is_token(video_id):
            raise VideoNotFound
        bind_contextvars(video_id=video_id)
        return VideoKey(account, video_id)
