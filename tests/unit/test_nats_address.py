"""NATS_URL has the servers, the user and the password."""

from __future__ import annotations

from functions.shared.streams.nats_address import client_options, without_password


def test_a_url_without_a_user_has_only_servers() -> None:
    """No credentials are sent."""
    assert client_options("nats://a:1, nats://b:2") == {"servers": ["nats://a:1", "nats://b:2"]}


def test_user_and_password_go_to_every_server() -> None:
    """Servers that the cluster advertises need them too."""
    assert client_options("nats://submit:p%40ss@a:1,nats://b:2") == {
        "servers": ["nats://a:1", "nats://b:2"],
        "user": "submit",
        "password": "p@ss",
        "inbox_prefix": "_INBOX.submit",
    }


def test_messages_never_have_the_password() -> None:
    """Servers are named without their credentials."""
    assert without_password("nats://u:secret@a:1,nats://u:secret@b:2") == "nats://a:1,nats://b:2"
