"""Whether a client reads, as its TCP connection tells."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from functions.shared.subjects import VideoKey
from functions.status.feeds import feed as feed_module
from functions.status.feeds.blocks import CUT_OFF, CUT_OFF_INSIDE, REVOKED_INSIDE
from functions.status.feeds.client import PIECE_BYTES, SEND_BUFFER_BYTES, FeedClient
from functions.status.feeds.opening import Feeds
from tests.fakes import MemoryBus
from tests.patience import scaled
from tests.unit.events import put_request


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's and the client's end of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            yield server, client


def _fill(client: FeedClient, server: socket.socket) -> int:
    """Send pieces while the client is said to read; returns how many bytes."""
    sent = 0
    while client.wait(0):
        assert server.send(bytes(PIECE_BYTES), socket.MSG_DONTWAIT) == PIECE_BYTES
        sent += PIECE_BYTES
    return sent


def test_a_piece_fits_while_the_client_reads_and_last_words_fit_afterwards(
    connection: tuple[socket.socket, socket.socket],
) -> None:
    """So nothing that is sent waits for the client; what it has not read is bounded."""
    server, _ = connection
    received = connection[1].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    sent = _fill(FeedClient({"gunicorn.socket": server}), server)
    assert 0 < sent <= received + 2 * SEND_BUFFER_BYTES
    assert server.send(CUT_OFF_INSIDE, socket.MSG_DONTWAIT) == len(CUT_OFF_INSIDE)


def test_a_client_that_reads_again_is_sent_more(
    connection: tuple[socket.socket, socket.socket],
) -> None:
    """As soon as there is room for a piece."""
    server, reader = connection
    client = FeedClient({"gunicorn.socket": server})
    left = _fill(client, server)
    while left:
        left -= len(reader.recv(left))
    assert client.wait(scaled(10))


def test_a_client_that_has_gone_is_not_waited_for(
    connection: tuple[socket.socket, socket.socket],
) -> None:
    """The server finds out when it sends."""
    server, reader = connection
    client = FeedClient({"gunicorn.socket": server})
    _fill(client, server)
    # Closing without having read resets the connection.
    reader.close()
    assert client.wait(scaled(10))
    with pytest.raises(OSError, match=r"reset|pipe"):
        server.sendall(b": keep-alive\n\n")


@pytest.fixture
def feed(
    connection: tuple[socket.socket, socket.socket],
    bus: MemoryBus,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Iterator[bytes]]:
    """A feed of everything in `bus`, for a client that may not pause."""
    monkeypatch.setattr(feed_module, "HOLD_SECONDS", 0.01)
    monkeypatch.setattr(feed_module, "STALL_SECONDS", 0.01)
    feeds = Feeds(bus, max_open=1, max_of_account=1)
    client = FeedClient({"gunicorn.socket": connection[0]})
    with closing(feeds.open("acme", None, "0-0", client, may_read=lambda: True)) as opened:
        yield iter(opened)


def test_a_client_that_does_not_read_is_cut_off_between_events(
    feed: Iterator[bytes], bus: MemoryBus, connection: tuple[socket.socket, socket.socket]
) -> None:
    """With a comment that says so, and nothing after it."""
    for n in range(200):
        put_request(bus, VideoKey("acme", f"v{n}"), prompt="x" * 40_000)
    blocks = []
    for block in feed:
        connection[0].sendall(block)
        blocks.append(block)
    assert len(blocks) < 200
    assert all(block.startswith(b"id: ") and block.endswith(b"\n\n") for block in blocks[1:-1])
    assert blocks[-1] == CUT_OFF
    assert CUT_OFF.startswith(b": cut off")


def test_a_client_that_does_not_read_is_looked_at_again(
    connection: tuple[socket.socket, socket.socket],
    bus: MemoryBus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If its key no longer works, it is cut off before it has to be for not reading."""
    monkeypatch.setattr(feed_module, "HOLD_SECONDS", 0.01)
    put_request(bus, VideoKey("acme", "v1"), prompt="x" * 10_000_000)
    feeds = Feeds(bus, max_open=1, max_of_account=1)
    client = FeedClient({"gunicorn.socket": connection[0]})
    allowed = [True]
    with closing(feeds.open("acme", None, "0-0", client, may_read=lambda: allowed[0])) as feed:
        blocks = []
        for block in feed:
            connection[0].sendall(block)
            blocks.append(block)
            if not client.wait(0):
                allowed[0] = False
                feeds.check_keys()
    assert blocks[-1] == REVOKED_INSIDE


def test_a_client_that_is_cut_off_inside_an_event_does_not_take_it_for_whole(
    feed: Iterator[bytes], bus: MemoryBus, connection: tuple[socket.socket, socket.socket]
) -> None:
    """An event without the empty line at its end is dropped (HTML standard, section 9.2.6)."""
    put_request(bus, VideoKey("acme", "v1"), prompt="x" * 10_000_000)
    blocks = []
    for block in feed:
        connection[0].sendall(block)
        blocks.append(block)
    text = b"".join(blocks)
    assert blocks[-1] == CUT_OFF_INSIDE
    assert text.count(b"\n\n") == 1, "only the comment with the position ends"
    assert text.splitlines()[-1].startswith(b": cut off")
