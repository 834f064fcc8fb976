"""ACCOUNTS_FILE as tests write it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path


def write_accounts(
    path: Path,
    keys: Mapping[str, str] | None = None,
    webhooks: Iterable[tuple[str, str, str]] = (),
    *,
    expires: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    limits: Mapping[str, str] | None = None,
) -> str:
    """Write the file, and return its path.

    Args:
        path: the file, which is replaced as a whole.
        keys: keys, and the account of each. None: no key is required.
        webhooks: account, URL and secret of each.
        expires: when keys expire, by key; the others do not.
        roles: the roles of keys, by key; the others have none.
        limits: fields of accounts, in TOML.
    """
    names = dict.fromkeys(
        [*(keys or {}).values(), *(account for account, _, _ in webhooks), *(limits or {})]
    )
    text = f"keys_required = {json.dumps(keys is not None)}\n[accounts]\n"
    for name in names:
        text += f"[accounts.{name}]\n{(limits or {}).get(name, '')}\n"
        for key, account in (keys or {}).items():
            if account == name:
                text += f"[[accounts.{name}.keys]]\nname = {json.dumps(key)}\n"
                text += f'sha256 = "{hashlib.sha256(key.encode()).hexdigest()}"\n'
                text += f"expires = {expires[key]}\n" if expires and key in expires else ""
                text += f"role = {json.dumps(roles[key])}\n" if roles and key in roles else ""
        for account, url, secret in webhooks:
            if account == name:
                text += f"[[accounts.{name}.webhooks]]\nurl = {json.dumps(url)}\n"
                text += f"secrets = [{json.dumps(secret)}]\n"
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)
    return str(path)
