"""The file of API keys."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from functions.shared.api.accounts import Accounts

ONE, TWO = (hashlib.sha256(key).hexdigest() for key in (b"one", b"two"))


def _read(folder: Path, text: str) -> Accounts:
    file = folder / "keys"
    file.write_text(text)
    return Accounts.from_file(str(file))


def test_an_account_may_have_several_keys(tmp_path: Path) -> None:
    """And a line may be there twice: it says the same."""
    accounts = _read(tmp_path, f"# ours\n\n{ONE} acme\n{TWO}  acme\n{ONE} acme\n")
    assert {accounts.account(f"Bearer {key}") for key in ("one", "two")} == {"acme"}


def test_a_key_of_two_accounts_is_refused(tmp_path: Path) -> None:
    """Otherwise the later line would silently move the key's holder to another account."""
    with pytest.raises(ValueError, match="line 3: an earlier line gives this key") as refused:
        _read(tmp_path, f"{ONE} acme\n{TWO} acme\n{ONE} other\n")
    assert ONE not in str(refused.value)


def test_a_line_of_sha256sum_is_refused(tmp_path: Path) -> None:
    """It ends in `-`, which would be taken for the account's name."""
    with pytest.raises(ValueError, match="line 1: the account is '-', which sha256sum"):
        _read(tmp_path, f"{ONE}  -\n")


@pytest.mark.parametrize("line", [ONE, f"{ONE} a b", f"{ONE[1:]} acme", f"{ONE} a.b", "key acme"])
def test_any_other_line_is_refused(tmp_path: Path, line: str) -> None:
    """With its number, and not with its content."""
    with pytest.raises(ValueError, match="line 2: expected") as refused:
        _read(tmp_path, f"# keys\n{line}\n")
    assert line not in str(refused.value)
