"""The connection to NATS, where no server is needed to see what it does."""

from __future__ import annotations

import pytest

from functions.shared.nats_connection import AWAY, NatsConnection


def test_closing_ends_the_attempt_to_connect() -> None:
    """A server that is not there is waited for no longer, and nothing goes on behind our back."""
    connection = NatsConnection("nats://127.0.0.1:9")
    with pytest.raises(AWAY):
        connection.run(connection.client(), 0.2)
    connecting = connection._connecting
    assert connecting is not None
    assert not connecting.done()
    connection.close()
    assert connecting.cancelled()
