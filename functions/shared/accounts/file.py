"""ACCOUNTS_FILE, as a function reads it, and reads it again after each change.

Its content is compared rather than its time: a Secret's mount changes by the swap of a symbolic
link, and an editor may replace the file or write into it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gunicorn.arbiter import Arbiter

from functions.shared.accounts.document import AccountsDocument
from functions.shared.config import Settings

log = logging.getLogger(__name__)

# A change takes effect after two to three of these.
POLL_SECONDS: Final = 1.0


class AccountsFile:
    """The accounts of a file. Any thread may read its attributes.

    Attributes:
        document: what the file says, or what it said when it was last valid.
        problem: why the file, as it is now, is not in use; None if it is.
    """

    def __init__(self, path: str, *, plain_http: bool) -> None:
        """Read the file at `path`; see `AccountsDocument.parse`.

        Raises:
            OSError: it can't be read.
            ValueError: it is not valid; the message begins with its path.
        """
        self._path = Path(path)
        self._plain_http = plain_http
        self._in_use = self._seen = self._path.read_bytes()
        self._refused: bytes | None = None
        self.document = self._parse(self._in_use)
        self.problem: str | None = None

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

    def follow(self, listener: Callable[[], None] = lambda: None) -> None:
        """Poll the file on a thread of its own, for as long as the process runs.

        `listener` is called after each poll, changed or not: keys also expire. So a server that
        forks must call this in the worker process.
        """

        def run() -> None:
            pause = threading.Event()
            while not pause.wait(POLL_SECONDS):
                try:
                    self.poll()
                    listener()
                except Exception:
                    log.exception("unexpected error while ACCOUNTS_FILE is followed")

        threading.Thread(target=run, name="accounts", daemon=True).start()

    def poll(self) -> None:
        """Read the file again; a change is used once two reads agree, and is complete by then.

        What is not valid is not used; `problem` and the log say so.
        """
        try:
            content = self._path.read_bytes()
        except OSError as problem:
            self._report(f"{self._path}: {problem.strerror}")
            return
        before, self._seen = self._seen, content
        if content == self._in_use:
            self._report(None)
        elif content == before and content != self._refused:
            self._use(content)

    def _use(self, content: bytes) -> None:
        try:
            self.document = self._parse(content)
        except ValueError as problem:
            self._refused = content
            self._report(str(problem))
            return
        self._in_use, self._refused = content, None
        self._report(None)
        log.info(
            "ACCOUNTS_FILE was read again: %d accounts, %d keys, %d webhook endpoints",
            len(self.document.accounts),
            len(self.document.holders),
            len(self.document.endpoints),
        )

    def _report(self, problem: str | None) -> None:
        text = problem and f"ACCOUNTS_FILE can't be used, so the last good one is: {problem}"
        if text is not None and text != self.problem:
            log.error(text)
        elif text is None and self.problem is not None:
            log.info("ACCOUNTS_FILE can be used again")
        self.problem = text

    def _parse(self, content: bytes) -> AccountsDocument:
        try:
            return AccountsDocument.parse(content, plain_http=self._plain_http)
        except ValueError as problem:
            raise ValueError(f"{self._path}: {problem}") from None
