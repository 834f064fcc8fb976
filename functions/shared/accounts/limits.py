"""The parts of the replicas that accounts have, as ACCOUNTS_FILE says."""

from __future__ import annotations

from functions.shared.accounts.document import AccountsDocument
from functions.shared.accounts.file import AccountsFile
from functions.shared.video.fairness import Limits


class AccountLimits:
    """Looks up the limits of accounts, also after the file has changed. For one thread."""

    def __init__(self, file: AccountsFile | None) -> None:
        """Without a file, all accounts have equal parts."""
        self._file = file
        self._document: AccountsDocument | None = None
        self._known: dict[str, Limits] = {}

    def of(self, account: str) -> Limits:
        """The limits of an account, which need not be in the file."""
        if self._file is None:
            return _EQUAL
        if self._file.document is not self._document:
            self._document = self._file.document
            self._known = {
                name: Limits(entry.weight, entry.max_running)
                for name, entry in self._document.accounts.items()
            }
        return self._known.get(account, _EQUAL)


_EQUAL = Limits()
