"""The file of webhook endpoints."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from functions.dispatch.app import create_app
from functions.shared.config import Settings
from functions.shared.endpoints import Endpoint, read_endpoints
from tests.fakes import MemoryBus, MemoryStore

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
URL = "https://example.com/hook?token=t0k3n"


def _read(folder: Path, text: str, *, allowed: str | None = None) -> list[Endpoint]:
    file = folder / "webhooks"
    file.write_text(text)
    return read_endpoints(Settings(webhooks_file=str(file), webhook_allowed_networks=allowed))


def test_an_account_may_have_several_endpoints(tmp_path: Path) -> None:
    """Blank lines and comments are skipped; each endpoint has a consumer of its own."""
    text = f"# ours\n\nacme {URL} {SECRET}\nacme https://b.example/ {SECRET}\nother {URL} {OTHER}\n"
    endpoints = _read(tmp_path, text)
    assert [e.account for e in endpoints] == ["acme", "acme", "other"]
    assert len({e.consumer for e in endpoints}) == 3


def test_an_endpoint_may_have_several_secrets(tmp_path: Path) -> None:
    """Two lines with the same account and URL are one endpoint, whose secret is being rotated."""
    [endpoint] = _read(tmp_path, f"acme {URL} {SECRET}\nacme {URL} {OTHER}\n")
    assert endpoint.secrets == (b"k" * 24, b"o" * 32)


def test_without_the_setting_there_are_no_endpoints() -> None:
    """Webhooks are optional."""
    assert read_endpoints(Settings()) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"acme {URL}", "expected 'account url"),
        (f"acme {URL} {SECRET} more", "expected 'account url"),
        (f"a.b {URL} {SECRET}", "the account must be"),
        (f"* {URL} {SECRET}", "the account must be"),
        (f"acme ftp://example.com/ {SECRET}", "the URL must be like"),
        (f"acme https:///hook {SECRET}", "the URL must be like"),
        (f"acme https://example.com:99999/ {SECRET}", "the URL must be like"),
        (f"acme https://exämple.com/ {SECRET}", "the URL must be like"),
        (f"acme https://[::1/ {SECRET}", "the URL must be like"),
        (f"acme http://example.com/ {SECRET}", "the URL must be https"),
        (f"acme https://me:pw@example.com/ {SECRET}", "no user, password"),
        (f"acme https://example.com/#here {SECRET}", "no user, password or fragment"),
        (f"acme {URL} {SECRET[6:]}", "the secret must be"),
        (f"acme {URL} whsec_!!!!", "the secret must be"),
        (f"acme {URL} whsec_" + base64.b64encode(b"k" * 23).decode(), "the secret must be"),
        (f"acme {URL} whsec_" + base64.b64encode(b"k" * 65).decode(), "the secret must be"),
        (f"acme {URL} {OTHER.rstrip('=')}", "the secret must be"),
    ],
)
def test_an_invalid_line_fails_the_start(tmp_path: Path, line: str, reason: str) -> None:
    """The message names the line, and repeats neither its secret nor its token."""
    file = tmp_path / "webhooks"
    file.write_text(f"# one\n{line}\n")
    with pytest.raises(ValueError, match="line 2: ") as caught:
        create_app(Settings(webhooks_file=str(file)), MemoryBus(), MemoryStore())
    assert reason in str(caught.value)
    assert "t0k3n" not in str(caught.value)
    assert not any(word in str(caught.value) for word in line.split() if len(word) > 12)


def test_http_needs_an_allowed_network(tmp_path: Path) -> None:
    """On the public internet a webhook is always encrypted."""
    text = f"acme http://hooks.internal/ {SECRET}"
    [endpoint] = _read(tmp_path, text, allowed="10.0.0.0/8, fd00::/8")
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
