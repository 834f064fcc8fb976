"""ACCOUNTS_FILE, as a function reads it."""

from __future__ import annotations

import logging
from pathlib import Path

from gunicorn.arbiter import Arbiter

from functions.shared.accounts.document import AccountsDocument
from functions.shared.config import Settings

log = logging.getLogger(__name__)


class AccountsFile:
    """The accounts of a file.

    Attributes:
        document: what the file says.
    """

    def __init__(self, path: str, *, plain_http: bool) -> None:
        """Read the file at `path`; see `AccountsDocument.parse`.

        Raises:
            OSError: it can't be read.
            ValueError: it is not valid; the message begins with its path.
        """
        self._path = Path(path)
        self._plain_http = plain_http
        self.document = self._parse(self._path.read_bytes())

    @classmethod
    def of(cls, settings: Settings) -> AccountsFile | None:
        """The file that `settings` name; None if they name none.

        Raises:
            OSError, ValueError: as the constructor.
        """
        if settings.accounts_file is None:
            return None
        return cls(settings.accounts_file, plain_http=bool(settings.webhook_allowed_networks))

    @classmethod
    def at_start(cls, settings: Settings) -> AccountsFile | None:
        """As `of`, for a server's start.

        Raises:
            SystemExit: the file can't be used. The log says why, and gunicorn does not try again.
        """
        try:
            return cls.of(settings)
        except (OSError, ValueError) as problem:
            log.error("ACCOUNTS_FILE can't be used: %s", problem)  # noqa: TRY400 - one line
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None

    def _parse(self, content: bytes) -> AccountsDocument:
        try:
            return AccountsDocument.parse(content, plain_http=self._plain_http)
        except ValueError as problem:
            raise ValueError(f"{self._path}: {problem}") from None
