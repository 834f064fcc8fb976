"""Edits ACCOUNTS_FILE: `python -m functions.setup.accounts add|rotate|revoke|list`.

A new key is printed once, on standard output; the file has only its digest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

from functions.setup.account_keys import add_key, editing, revoke_key, rotate_key
from functions.shared.accounts.document import AccountsDocument, Role
from functions.shared.config import load_settings


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line says, or exit with one line that says why not."""
    given = _parser().parse_args(arguments)
    path = given.file or load_settings().accounts_file
    if path is None:
        raise SystemExit("Which file? Set ACCOUNTS_FILE, or use --file.")
    try:
        if given.command == "list":
            document = AccountsDocument.parse(Path(path).read_bytes())
            sys.stdout.writelines(f"{line}\n" for line in describe(document))
        else:
            _change(Path(path), given)
    except (OSError, ValueError) as problem:
        raise SystemExit(f"{path}: {problem}") from None


def _change(path: Path, given: argparse.Namespace) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    with editing(path) as file:
        if given.command == "revoke":
            revoke_key(file, given.account, given.name)
            return
        if given.command == "add":
            expires = now + timedelta(days=given.days) if given.days else None
            secret = add_key(file, given.account, given.name, expires, given.role)
        else:
            old_until = now + timedelta(hours=given.hours) if given.hours else None
            secret = rotate_key(file, given.account, given.name, old_until)
    # Only once the file has it. The explanation goes elsewhere: KEY=$(... add acme laptop) works.
    sys.stderr.write("The new key, which is shown this once:\n")
    sys.stdout.write(f"{secret}\n")


def describe(document: AccountsDocument) -> Iterator[str]:
    """A line for each key and endpoint, and for each account with neither; nothing confidential."""
    for name, account in document.accounts.items():
        for key in account.keys:
            expires = "" if key.expires is None else f", expires {key.expires.isoformat()}"
            role = "" if key.role is None else f", {key.role}"
            yield f"{name}: key {key.name}{role}{expires}"
        for endpoint in document.endpoints:
            if endpoint.account == name:
                yield f"{name}: webhooks to {endpoint.host}"
        if not account.keys and not account.webhooks:
            yield f"{name}: no keys"


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number above 0")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m functions.setup.accounts", description=__doc__)
    parser.add_argument("--file", help="default: ACCOUNTS_FILE")
    commands = parser.add_subparsers(dest="command", required=True)
    for command, about in (
        ("add", "make a key, for a new account or one more for an account"),
        ("rotate", "replace a key"),
        ("revoke", "remove a key"),
    ):
        sub = commands.add_parser(command, help=about)
        sub.add_argument("account")
        sub.add_argument("name", help="what the file calls the key, such as `laptop`")
    commands.choices["add"].add_argument(
        "--days", type=_positive, help="the key expires after that many"
    )
    commands.choices["add"].add_argument(
        "--role", choices=get_args(Role), help="operator: the key reads what all accounts used"
    )
    commands.choices["rotate"].add_argument(
        "--hours", type=_positive, help="the old key works that much longer; default: no longer"
    )
    commands.add_parser("list", help="show accounts, names of keys, and hosts of webhooks")
    return parser


if __name__ == "__main__":
    main()
