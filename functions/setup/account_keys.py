"""Changes of the API keys in ACCOUNTS_FILE that keep its comments and order."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.items import AoT

from functions.shared.accounts.document import AccountsDocument

_KEY_BYTES: Final = 32
_NEW_FILE: Final = "[accounts]\n"


def add_key(
    file: tomlkit.TOMLDocument,
    account: str,
    name: str,
    expires: datetime | None,
    role: str | None = None,
) -> str:
    """Add a key to an account, and the account if it is new; returns the key.

    Raises:
        ValueError: the account has a key of this name.
    """
    accounts: Any = file["accounts"]
    entry = accounts.setdefault(account, tomlkit.table())
    keys = entry.setdefault("keys", tomlkit.aot())
    if any(key["name"] == name for key in keys):
        raise ValueError(f"{account} has a key {name!r}: rotate it, or choose another name")
    secret = secrets.token_urlsafe(_KEY_BYTES)
    # Tables where the file has tables, and `{...}` where it has a list of those.
    key: Any = tomlkit.table() if isinstance(keys, AoT) else tomlkit.inline_table()
    key["name"] = name
    key["sha256"] = _digest(secret)
    if expires is not None:
        key["expires"] = expires
    if role is not None:
        key["role"] = role
    keys.append(key)
    return secret


def rotate_key(
    file: tomlkit.TOMLDocument, account: str, name: str, old_until: datetime | None
) -> str:
    """Replace a key; the old one works until `old_until`, or no longer. Returns the new one.

    The old one is then called `<name>-until-<time>`. The new one expires when the old one would,
    and has its role.

    Raises:
        ValueError: the account has no key of this name.
    """
    keys, number = _find(file, account, name)
    expires, role = keys[number].get("expires"), keys[number].get("role")
    if old_until is None:
        del keys[number]
    else:
        keys[number]["name"] = f"{name}-until-{old_until:%Y%m%dT%H%M%SZ}"
        keys[number]["expires"] = min(old_until, expires or old_until)
    return add_key(file, account, name, expires, role)


def revoke_key(file: tomlkit.TOMLDocument, account: str, name: str) -> None:
    """Remove a key.

    Raises:
        ValueError: the account has no key of this name.
    """
    keys, number = _find(file, account, name)
    del keys[number]


def _find(file: tomlkit.TOMLDocument, account: str, name: str) -> tuple[Any, int]:
    accounts: Any = file["accounts"]
    keys = accounts.get(account, {}).get("keys", [])
    for number, key in enumerate(keys):
        if key["name"] == name:
            return keys, number
    raise ValueError(f"{account} has no key {name!r}")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@contextmanager
def editing(path: Path) -> Iterator[tomlkit.TOMLDocument]:
    """Read the file, which need not exist, let the caller change it, check it and replace it.

    Raises:
        ValueError: the file is not valid, before or after the change; it is then left as it is.
    """
    target = path.resolve()
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        # Of two commands at once, the second sees what the first has changed.
        fcntl.flock(folder, fcntl.LOCK_EX)
        before = target.read_text() if target.exists() else _NEW_FILE
        AccountsDocument.parse(before.encode())
        file = tomlkit.parse(before)
        yield file
        after = file.as_string()
        if "accounts" not in tomllib.loads(after):
            # The last key is gone, and its table with it.
            after = f"{after.rstrip()}\n{_NEW_FILE}".lstrip()
        AccountsDocument.parse(after.encode())
        _replace(target, after)
    finally:
        os.close(folder)


def _replace(target: Path, text: str) -> None:
    # Readable to its owner alone, as mkstemp makes it, unless the file was there with other rights.
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w") as new:
            new.write(text)
            new.flush()
            if target.exists():
                os.fchmod(new.fileno(), target.stat().st_mode & 0o777)
            os.fsync(new.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
