"""NATS_URL says where the servers are and who asks."""

from __future__ import annotations

from functions.shared.streams.nats_address import client_options, without_password


def test_an_address_without_a_user_is_only_an_address() -> None:
    """Servers that ask for no password are told none."""
    assert client_options("nats://a:1, nats://b:2") == {"servers": ["nats://a:1", "nats://b:2"]}


def test_user_and_password_go_to_every_server() -> None:
    """Also those of which only the cluster tells have to be told them."""
    assert client_options("nats://submit:p%40ss@a:1,nats://b:2") == {
        "servers": ["nats://a:1", "nats://b:2"],
        "user": "submit",
        "password": "p@ss",
        "inbox_prefix": "_INBOX.submit",
    }


def test_messages_do_not_repeat_the_password() -> None:
    """What could not be reached is named without what opens it."""
    assert without_password("nats://u:secret@a:1,nats://u:secret@b:2") == "nats://a:1,nats://b:2"
