"""The file of accounts: what it may say, and whose key a caller has."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from functions.shared.accounts.document import AccountsDocument
from functions.shared.accounts.file import AccountsFile
from functions.shared.api.accounts import Accounts
from functions.shared.errors import Unauthorized

ONE, TWO = (hashlib.sha256(key).hexdigest() for key in (b"one", b"two"))


def _key(account: str, name: str, digest: str, more: str = "") -> str:
    return f'[[accounts.{account}.keys]]\nname = "{name}"\nsha256 = "{digest}"\n{more}\n'


def _read(folder: Path, text: str) -> Accounts:
    file = folder / "accounts"
    file.write_text(text)
    return Accounts(
        AccountsFile(str(file), plain_http=False), requests_per_second=500, max_queued=None
    )


def test_an_account_may_have_several_keys(tmp_path: Path) -> None:
    """Each is told apart by its name."""
    accounts = _read(tmp_path, "# ours\n" + _key("acme", "a", ONE) + _key("acme", "b", TWO))
    assert {accounts.account_of(f"Bearer {key}") for key in ("one", "two")} == {"acme"}


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer three", "Basic one", f"Bearer {ONE}"]
)
def test_without_a_key_of_the_file_a_caller_is_refused(tmp_path: Path, header: str | None) -> None:
    """The digest of a key is no key."""
    accounts = _read(tmp_path, _key("acme", "a", ONE))
    with pytest.raises(Unauthorized):
        accounts.account_of(header)


def test_a_key_works_until_it_expires(tmp_path: Path) -> None:
    """Its holder is told that it has expired."""
    now = datetime.now(UTC)
    later, earlier = ((now + timedelta(hours=h)).isoformat() for h in (1, -1))
    text = _key("acme", "a", ONE, f"expires = {later}") + _key(
        "acme", "b", TWO, f"expires = {earlier}"
    )
    accounts = _read(tmp_path, text)
    assert accounts.account_of("Bearer one") == "acme"
    with pytest.raises(Unauthorized, match="has expired"):
        accounts.account_of("Bearer two")


def test_a_file_whose_last_key_was_removed_lets_nobody_in(tmp_path: Path) -> None:
    """Only `keys_required = false` does."""
    with pytest.raises(Unauthorized):
        _read(tmp_path, "[accounts]\n").account_of("Bearer one")
    assert _read(tmp_path, "keys_required = false\n[accounts]\n").account_of(None) == "default"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "accounts: Field required"),
        ("[accounts\n", "at line 1"),
        (
            _key("acme", "a", ONE) + _key("other", "b", ONE),
            "accounts.other.keys[0].sha256: is the ",
        ),
        (_key("acme", "a", ONE) + _key("acme", "b", ONE), "is the same as accounts.acme.keys[0]"),
        (_key("acme", "a", ONE) + _key("acme", "a", TWO), "accounts.acme: two keys have the same"),
        (_key("-", "a", ONE), "accounts.-: an account can't be called '-'"),
        (_key('"a.b"', "a", ONE), "accounts.a.b: an account's name is"),
        (_key("acme", "a", "s3cr3t"), "accounts.acme.keys[0].sha256: "),
        (_key("acme", "a", ONE.upper()), "accounts.acme.keys[0].sha256: "),
        (_key("acme", "", ONE), "accounts.acme.keys[0].name: "),
        (_key("acme", "a", ONE, 'expires = "2027-01-01"'), "accounts.acme.keys[0].expires: "),
        (
            _key("acme", "a", ONE, "expires = 2027-01-01T00:00:00"),
            "accounts.acme.keys[0].expires: ",
        ),
        (_key("acme", "a", ONE, "expiry = 1"), "keys[0].expiry: is not known; did you mean 'exp"),
        ("[accounts.acme]\nshare = 2\n", "accounts.acme.share: is not known"),
        ("[accounts.acme]\nweight = 0.0\n", "accounts.acme.weight: Input should be greater"),
        ("[accounts.acme]\nmax_running = 0\n", "accounts.acme.max_running: Input should be"),
        ("acounts = {}\n[accounts]\n", "acounts: is not known; did you mean 'accounts'?"),
        ("keys_required = false\n" + _key("acme", "a", ONE), "keys_required is false"),
        ("[accounts]\nacme = 's3cr3t'\n", "accounts.acme: "),
    ],
)
def test_a_file_that_is_not_valid_is_refused(text: str, reason: str) -> None:
    """On one line that names the place, and repeats no value."""
    with pytest.raises(ValueError, match=r".+") as refused:
        AccountsDocument.parse(text.encode())
    message = str(refused.value)
    assert reason in message
    assert "\n" not in message
    assert not any(secret in message for secret in ("s3cr3t", ONE, ONE.upper()))


def test_a_file_that_is_not_utf8_is_refused() -> None:
    """As the TOML specification says."""
    with pytest.raises(ValueError, match="is not UTF-8"):
        AccountsDocument.parse(b"# \xff\n[accounts]\n")
