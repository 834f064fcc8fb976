"""The connection to NATS, as far as it can be tested without a server."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from functions.shared.streams.nats_connection import NO_RESPONSE_ERRORS, NatsConnection
from tests.patience import wait_until


def test_closing_ends_the_attempt_to_connect() -> None:
    """No thread waits any longer for a server that can't be reached."""
    connection = NatsConnection("nats://127.0.0.1:9")
    with pytest.raises(NO_RESPONSE_ERRORS):
        connection.run(connection.client(), 0.2)
    connecting = connection._connecting
    assert connecting is not None
    assert not connecting.done()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(connection.request, "subject", b"")
        loop = connecting.get_loop()
        wait_until(lambda: len(asyncio.all_tasks(loop)) > 1, seconds=5, what="it waits too")
        connection.close()
        with pytest.raises(NO_RESPONSE_ERRORS):
            waiting.result(5)
    assert connecting.cancelled()
