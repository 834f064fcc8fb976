"""The file of accounts while it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from functions.shared.accounts.file import AccountsFile
from functions.shared.api.accounts import Accounts
from functions.shared.errors import Unauthorized
from tests.accounts import write_accounts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one key, `one`, of the account `acme`."""
    file = tmp_path / "accounts.toml"
    write_accounts(file, {"one": "acme"})
    return file


@pytest.fixture
def file(path: Path) -> AccountsFile:
    """The same file, as a function follows it."""
    return AccountsFile(str(path), plain_http=False)


def _works(file: AccountsFile, key: str) -> bool:
    try:
        Accounts(file, requests_per_second=500, max_queued=None).account_of(f"Bearer {key}")
    except Unauthorized:
        return False
    return True


def test_a_change_is_used_once_two_reads_agree(path: Path, file: AccountsFile) -> None:
    """New keys work, revoked ones no longer."""
    write_accounts(path, {"two": "acme"})
    file.poll()
    file.poll()
    assert (_works(file, "one"), _works(file, "two")) == (False, True)


def test_a_file_that_is_being_written_is_not_used(path: Path, file: AccountsFile) -> None:
    """Its first half may be valid, and would revoke the keys of the other."""
    complete = path.read_text()
    half = complete[: complete.index("[[")]
    path.write_text(half)
    file.poll()
    assert _works(file, "one")
    path.write_text(complete)
    file.poll()
    file.poll()
    assert _works(file, "one")
    assert file.problem is None


def test_a_swapped_link_is_a_change(tmp_path: Path) -> None:
    """As the kubelet updates a Secret's mount: `..data` leads to another folder."""
    for name, key in (("v1", "one"), ("v2", "two")):
        (tmp_path / name).mkdir()
        write_accounts(tmp_path / name / "accounts.toml", {key: "acme"})
    data = tmp_path / "..data"
    data.symlink_to("v1")
    link = tmp_path / "accounts.toml"
    link.symlink_to("..data/accounts.toml")
    file = AccountsFile(str(link), plain_http=False)
    new = tmp_path / "..data_tmp"
    new.symlink_to("v2")
    new.replace(data)
    file.poll()
    file.poll()
    assert (_works(file, "one"), _works(file, "two")) == (False, True)


@pytest.mark.parametrize("content", ["[accounts", "", "[accounts.acme]\nshare = 1\n", None])
def test_a_file_that_becomes_invalid_changes_nothing(
    path: Path, file: AccountsFile, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor one that is missing. It is told, once in the log, until it is valid again."""
    good = path.read_bytes()
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    for _ in range(4):
        file.poll()
    assert _works(file, "one")
    assert str(file.problem).startswith("ACCOUNTS_FILE can't be used, so the last good one is: ")
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        file.problem
    ]
    path.write_bytes(good)
    file.poll()
    assert file.problem is None
    assert _works(file, "one")


def test_the_next_valid_file_is_used(path: Path, file: AccountsFile) -> None:
    """Without a restart, whatever was there in between."""
    path.write_text("nonsense")
    file.poll()
    file.poll()
    write_accounts(path, {"two": "acme"})
    file.poll()
    file.poll()
    assert file.problem is None
    assert _works(file, "two")
