"""The webhook endpoints in the file of accounts."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from functions.dispatch.app import create_app
from functions.shared.accounts.endpoints import Endpoint
from functions.shared.accounts.file import AccountsFile
from functions.shared.config import Settings
from tests.fakes import MemoryBus, MemoryStore

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
URL = "https://example.com/hook?token=t0k3n"


def _secret(size: int) -> str:
    return "whsec_" + base64.b64encode(b"k" * size).decode()


def _read(folder: Path, *webhooks: str, allowed: str | None = None) -> tuple[Endpoint, ...]:
    file = folder / "accounts"
    file.write_text("".join(webhooks))
    settings = Settings(accounts_file=str(file), webhook_allowed_networks=allowed)
    accounts = AccountsFile.of(settings)
    assert accounts is not None
    return accounts.document.endpoints


def _webhook(account: str = "acme", url: str = URL, secrets: str = f'"{SECRET}"') -> str:
    return f'[[accounts.{account}.webhooks]]\nurl = "{url}"\nsecrets = [{secrets}]\n'


def test_an_account_may_have_several_endpoints(tmp_path: Path) -> None:
    """Each endpoint has a consumer of its own."""
    endpoints = _read(
        tmp_path, _webhook(), _webhook(url="https://b.example/"), _webhook("other", URL)
    )
    assert [e.account for e in endpoints] == ["acme", "acme", "other"]
    assert len({e.consumer for e in endpoints}) == 3


def test_an_endpoint_may_have_several_secrets(tmp_path: Path) -> None:
    """While its secret is being rotated, each message is signed with all."""
    [endpoint] = _read(tmp_path, _webhook(secrets=f'"{SECRET}", "{OTHER}"'))
    assert endpoint.secrets == (b"k" * 24, b"o" * 32)


def test_without_the_setting_there_are_no_endpoints() -> None:
    """Webhooks are optional."""
    app = create_app(Settings(), MemoryBus(), MemoryStore())
    assert "kinora.webhooks" not in app.extensions


@pytest.mark.parametrize(
    ("webhook", "reason"),
    [
        (f'[[accounts.acme.webhooks]]\nurl = "{URL}"\n', "secrets: Field required"),
        (_webhook(secrets=""), "secrets: List should have at least 1 item"),
        (_webhook(url="ftp://example.com/?token=t0k3n"), "url: must be like"),
        (_webhook(url="https:///hook"), "url: must be like"),
        (_webhook(url="https://example.com:99999/"), "url: must be like"),
        (_webhook(url="https://exämple.com/"), "url: must be like"),
        (_webhook(url="https://[::1/"), "url: must be like"),
        (_webhook(url="http://example.com/?token=t0k3n"), "url: must be https"),
        (_webhook(url="https://me:t0k3n@example.com/"), "url: must have no user, password"),
        (_webhook(url="https://example.com/#t0k3n"), "url: must have no user, password or fr"),
        (_webhook(secrets=f'"{SECRET[6:]}"'), "secrets[0]: must be 'whsec_'"),
        (_webhook(secrets='"whsec_!!!!"'), "secrets[0]: must be"),
        (_webhook(secrets='"whsec_ä"'), "secrets[0]: must be"),
        (_webhook(secrets=f'"{_secret(23)}"'), "secrets[0]: must be"),
        (_webhook(secrets=f'"{_secret(65)}"'), "secrets[0]: must be"),
        (_webhook(secrets=f'"{OTHER.rstrip("=")}"'), "secrets[0]: must be"),
    ],
)
def test_an_invalid_endpoint_fails_the_start(
    tmp_path: Path, webhook: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line of the log names the place, and repeats neither a secret nor a token."""
    file = tmp_path / "accounts"
    file.write_text(f"# one\n{webhook}")
    with pytest.raises(SystemExit):
        create_app(Settings(accounts_file=str(file)), MemoryBus(), MemoryStore())
    (line,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert f"{file}: accounts.acme.webhooks[0].{reason}" in line
    assert not any(word in line for word in ("t0k3n", SECRET[6:], OTHER[6:12], "a2tra2tr"))


def test_two_endpoints_with_one_url_are_refused(tmp_path: Path) -> None:
    """They would share a consumer. A second secret belongs to the first."""
    with pytest.raises(ValueError, match=r"accounts\.acme: two webhooks have the same url"):
        _read(tmp_path, _webhook(), _webhook(secrets=f'"{OTHER}"'))


def test_http_needs_an_allowed_network(tmp_path: Path) -> None:
    """On the public internet a webhook is always encrypted."""
    webhook = _webhook(url="http://hooks.internal/")
    [endpoint] = _read(tmp_path, webhook, allowed="10.0.0.0/8, fd00::/8")
    assert endpoint.name == "acme at hooks.internal"


@pytest.mark.parametrize("text", ["10.0.0.1/8", "localhost", "10.0.0.0/8;fd00::/8"])
def test_an_invalid_network_fails_the_start(text: str) -> None:
    """The message names the setting."""
    with pytest.raises(ValueError, match="webhook_allowed_networks"):
        Settings(webhook_allowed_networks=text)


def test_an_endpoint_hides_what_is_confidential() -> None:
    """In logs and in tracebacks."""
    endpoint = Endpoint("acme", URL, (b"k" * 24,))
    for text in (repr(endpoint), endpoint.name, endpoint.consumer):
        assert "t0k3n" not in text
        assert "kkk" not in text
