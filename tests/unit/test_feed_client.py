"""Whether a client reads, as its TCP connection tells."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from functions.shared.subjects import VideoKey
from functions.status.feeds import feed as feed_module
from functions.status.feeds.blocks import CUT_OFF, CUT_OFF_INSIDE, REVOKED_INSIDE
from functions.status.feeds.client import PIECE_BYTES, SEND_BUFFER_BYTES, FeedClient
from functions.status.feeds.feed import KEEP_ALIVE_SECONDS
from functions.status.feeds.hang_ups import HangUps
from functions.status.feeds.opening import Feeds
from tests.fakes import MemoryBus
from tests.patience import now, scaled, wait_until
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


def test_a_feed_ends_when_its_client_hangs_up(
    connection: tuple[socket.socket, socket.socket], bus: MemoryBus
) -> None:
    """At once, not with the next keep-alive: its place is free for a page that is loaded again."""
    feeds = Feeds(bus, max_open=1, max_of_account=1)
    client = FeedClient({"gunicorn.socket": connection[0]})
    ended = threading.Event()

    def serve() -> None:
        with closing(feeds.open("acme", None, None, client, may_read=lambda: True)) as opened:
            told.extend(opened)
        ended.set()

    told: list[bytes] = []
    thread = threading.Thread(target=serve)
    thread.start()
    wait_until(lambda: told, seconds=10, what="the feed is open")
    connection[1].close()
    began = now().served
    assert ended.wait(scaled(60))
    thread.join()
    assert now().served - began < KEEP_ALIVE_SECONDS / 2
    assert feeds.open_count == 0
    assert len(told) == 1, "nothing is sent to nobody"


def test_a_descriptor_that_is_used_again_ends_nothing(
    connection: tuple[socket.socket, socket.socket],
) -> None:
    """Closed descriptors get new owners at once."""
    hang_ups, seen = HangUps(), threading.Event()
    fileno = connection[0].fileno()
    first = threading.Event()
    hang_ups.watch(fileno, first.set)
    hang_ups.forget(fileno)
    hang_ups.forget(fileno)
    hang_ups.watch(fileno, seen.set)
    connection[1].shutdown(socket.SHUT_WR)
    assert seen.wait(scaled(10))
    assert not first.is_set()
    hang_ups.forget(fileno)


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
