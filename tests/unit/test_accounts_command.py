"""`python -m functions.setup.accounts`, which edits the file of accounts."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from functions.setup.accounts import main
from functions.shared.accounts.document import AccountsDocument, KeyEntry

COMMENTED = f"""\
# Our customers.
[accounts.acme]  # since 2026
keys = [
  {{name = "laptop", sha256 = "{hashlib.sha256(b"one").hexdigest()}"}},  # Ann's
]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file is to be."""
    path = tmp_path / "accounts.toml"
    monkeypatch.setenv("ACCOUNTS_FILE", str(path))
    return path


def _keys(file: Path, account: str = "acme") -> dict[str, KeyEntry]:
    document = AccountsDocument.parse(file.read_bytes())
    return {key.name: key for key in document.accounts[account].keys}


def _digest(printed: str) -> str:
    return hashlib.sha256(printed.strip().encode()).hexdigest()


def test_a_new_key_is_shown_once_and_only_its_digest_is_kept(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a file that was not there, too. Only its owner may read that."""
    main(["add", "acme", "laptop"])
    key = capsys.readouterr().out
    main(["add", "acme", "ci", "--days", "90"])
    assert _keys(file)["laptop"].sha256 == _digest(key)
    assert key.strip() not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    expires = _keys(file)["ci"].expires
    assert expires is not None
    assert abs(expires - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=5)


def test_comments_order_and_rights_are_kept(file: Path) -> None:
    """The file is replaced as a whole; nothing else is left in its folder."""
    file.write_text(COMMENTED)
    file.chmod(0o640)
    main(["add", "acme", "ci"])
    main(["add", "other", "laptop"])
    text = file.read_text()
    assert text.startswith(COMMENTED[: COMMENTED.index("]\n", 20)].rstrip())
    assert [*_keys(file)] == ["laptop", "ci"]
    assert file.stat().st_mode & 0o777 == 0o640
    assert [*file.parent.iterdir()] == [file]


def test_a_link_to_the_file_stays_a_link(file: Path) -> None:
    """What it leads to is replaced."""
    target = file.with_name("elsewhere.toml")
    target.write_text(COMMENTED)
    file.symlink_to(target)
    main(["add", "acme", "ci"])
    assert file.is_symlink()
    assert "ci" in _keys(target)


def test_a_rotated_key_stops_at_once(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The new one has its name, and expires when it would have."""
    main(["add", "acme", "laptop", "--days", "9"])
    before = _keys(file)["laptop"]
    capsys.readouterr()
    main(["rotate", "acme", "laptop"])
    (after,) = _keys(file).values()
    assert after.sha256 == _digest(capsys.readouterr().out) != before.sha256
    assert after.expires == before.expires


def test_a_role_outlives_a_rotation(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody has to remember it; the list shows it."""
    main(["add", "acme", "ops", "--role", "operator"])
    main(["add", "acme", "laptop"])
    main(["rotate", "acme", "ops", "--hours", "1"])
    keys = _keys(file)
    assert {name: key.role for name, key in keys.items() if "until" not in name} == {
        "ops": "operator",
        "laptop": None,
    }
    capsys.readouterr()
    main(["list"])
    assert "acme: key ops, operator\n" in capsys.readouterr().out


def test_a_rotated_key_may_work_for_some_hours_more(file: Path) -> None:
    """But no longer than it would have."""
    main(["add", "acme", "laptop"])
    before = _keys(file)["laptop"]
    main(["rotate", "acme", "laptop", "--hours", "24"])
    new = _keys(file)["laptop"]
    (old,) = (key for key in _keys(file).values() if key.sha256 == before.sha256)
    assert old.name.startswith("laptop-until-")
    assert old.expires is not None
    assert abs(old.expires - datetime.now(UTC) - timedelta(hours=24)) < timedelta(minutes=5)
    assert new.expires is None
    main(["add", "acme", "ci", "--days", "1"])
    main(["rotate", "acme", "ci", "--hours", "2000"])
    expiries = [key.expires for key in _keys(file).values() if "ci" in key.name]
    assert expiries[0] == expiries[1]


@pytest.mark.parametrize("text", [COMMENTED, COMMENTED + "[accounts.other]\n"])
def test_the_last_key_can_be_revoked(file: Path, text: str) -> None:
    """Then nobody has access any more; the file remains valid."""
    file.write_text(text)
    main(["revoke", "acme", "laptop"])
    assert _keys(file) == {}


def test_the_last_key_of_a_file_of_tables_can_be_revoked(file: Path) -> None:
    """Where no line but those of the key names the account."""
    main(["add", "acme", "laptop"])
    file.write_text(file.read_text().replace("[accounts]\n", "# ours\n"))
    main(["revoke", "acme", "laptop"])
    assert AccountsDocument.parse(file.read_bytes()).accounts == {}
    assert "# ours" in file.read_text()


def test_the_list_has_nothing_confidential(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names, times and hosts; no digest, no secret, no path of a URL."""
    file.write_text(
        f"{COMMENTED}[[accounts.acme.webhooks]]\n"
        f'url = "https://example.com/t0k3n"\nsecrets = ["whsec_{"a2tr" * 12}"]\n'
        "[accounts.other]\n"
    )
    main(["list"])
    assert capsys.readouterr().out.splitlines() == [
        "acme: key laptop",
        "acme: webhooks to example.com",
        "other: no keys",
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["add", "acme", "laptop"], "acme has a key 'laptop': rotate it"),
        (["add", "-", "a"], "accounts.-: an account can't be called '-'"),
        (["add", "acme", "a b"], "accounts.acme.keys[1].name: "),
        (["revoke", "acme", "nope"], "acme has no key 'nope'"),
        (["rotate", "nobody", "laptop"], "nobody has no key 'laptop'"),
    ],
)
def test_a_change_that_is_not_possible_changes_nothing(
    file: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says why, and no key is shown that does not work."""
    file.write_text(COMMENTED)
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert str(refused.value).startswith(f"{file}: ")
    assert reason in str(refused.value)
    assert file.read_text() == COMMENTED
    assert capsys.readouterr().out == ""


def test_a_file_that_is_not_valid_is_left_alone(file: Path) -> None:
    """Nothing is repaired by writing over it."""
    file.write_text("[accounts.acme]\nkey = []\n")
    with pytest.raises(SystemExit, match=r"accounts\.acme\.key: is not known; did you mean 'keys'"):
        main(["add", "acme", "laptop"])
    assert file.read_text() == "[accounts.acme]\nkey = []\n"


def test_without_a_file_the_command_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable that the functions read, too."""
    monkeypatch.delenv("ACCOUNTS_FILE", raising=False)
    with pytest.raises(SystemExit, match="Set ACCOUNTS_FILE, or use --file"):
        main(["list"])
