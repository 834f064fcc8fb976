"""Which addresses webhooks may go to; no other is ever connected to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
import trustme

from functions.dispatch.webhooks.addresses import AddressRefused, GuardedNetwork, is_public
from functions.dispatch.webhooks.message import Webhook
from functions.dispatch.webhooks.sender import DeliveryResult, WebhookSender
from functions.shared.accounts.endpoints import Endpoint
from functions.shared.networks import parse_networks
from tests.receiver import Receiver

WEBHOOK = Webhook("video_1", "msg_1", "video.completed", b"{}")
HERE = "127.0.0.0/8"


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_the_public_internet_may_be_called(text: str) -> None:
    """IPv4 and IPv6, and IPv4 through IPv6."""
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"),
        *("10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "::ffff:10.0.0.1"),
        *("fc00::1", "fd00:ec2::254", "fec0::1"),
        *("169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fe80::1%eth0"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "2001::1"),
        *("100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("224.0.0.1", "239.1.1.1", "ff02::1", "ff0e::1"),
        *("0.0.0.0", "::", "255.255.255.255", "240.0.0.1"),
        *("192.0.2.1", "198.18.0.1", "203.0.113.1", "192.88.99.1", "2001:db8::1", "3fff::1"),
        *("100::1", "4000::1", "5f00::1"),
    ],
)
def test_no_other_address_may_be_called(text: str) -> None:
    """Loopback, private, link-local, metadata, multicast, unspecified, reserved, tunnelled."""
    assert not is_public(ip_address(text))


class Names:
    """A scripted resolver: each lookup takes the next answer, and the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.lookups: list[str] = []

    def getaddrinfo(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        """See `socket.getaddrinfo`."""
        self.lookups.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server on loopback, which webhooks must not reach by default."""
    with Receiver() as server:
        yield server


def _resolve(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> Names:
    names = Names(*answers)
    # Only in the module under test: asyncio resolves literal addresses with it too.
    monkeypatch.setattr(
        "functions.dispatch.webhooks.addresses.socket", _SocketModule(names), raising=True
    )
    return names


class _SocketModule:
    SOCK_STREAM = socket.SOCK_STREAM

    def __init__(self, names: Names) -> None:
        self.getaddrinfo = names.getaddrinfo


def _send(
    url: str, *, allowed: str = "", trust: ssl.SSLContext | None = None, seconds: float = 5
) -> DeliveryResult:
    sender = WebhookSender(
        Endpoint("acme", url, (b"k" * 24,)),
        networks=parse_networks(allowed),
        timeout_seconds=seconds,
        certificates=trust or ssl.create_default_context(),
    )
    return asyncio.run(sender.send_webhook(WEBHOOK))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]"]
)
def test_loopback_is_refused_in_every_spelling(receiver: Receiver, host: str) -> None:
    """The address is checked, not its text."""
    result = _send(f"https://{host}:{receiver.port}/")
    assert "must not be called" in result.problem
    assert receiver.received == []


def test_one_private_address_among_public_ones_refuses_all(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a mixture is an attempt to have the private one called in the end."""
    _resolve(monkeypatch, ["8.8.8.8", "127.0.0.1"])
    assert "127.0.0.1 must not" in _send(f"https://hook.example:{receiver.port}/").problem


def test_a_name_that_resolves_differently_the_second_time_gains_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: the address that was checked is the one that is connected to."""
    names = _resolve(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    called: list[str] = []

    class Recording:
        async def connect_tcp(self, host: str, *_: object) -> object:
            called.append(host)
            return object()

    network = GuardedNetwork([], public=True)
    network._backend = Recording()  # type: ignore[assignment]  # no packet leaves this machine
    asyncio.run(network.connect_tcp("hook.example", 443))
    assert called == ["93.184.216.34"]
    with pytest.raises(AddressRefused):
        asyncio.run(network.connect_tcp("hook.example", 443))
    assert names.lookups == ["hook.example"] * 2
    assert called == ["93.184.216.34"]


def test_http_goes_to_allowed_networks_only(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without encryption, even a public address is refused."""
    url = f"http://hook.example:{receiver.port}/path?x=1"
    _resolve(monkeypatch, ["127.0.0.1"], ["8.8.8.8"])
    assert _send(url, allowed=HERE).delivered
    [received] = receiver.received
    assert received.path == "/path?x=1"
    assert received.headers["host"] == f"hook.example:{receiver.port}"
    assert "8.8.8.8 must not be called with http" in _send(url, allowed=HERE).problem


def test_the_certificate_must_be_for_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS is checked against the endpoint's name, though an address was connected to."""
    authority = trustme.CA()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hook.example").configure_cert(served)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    _resolve(monkeypatch, ["127.0.0.1"])
    with Receiver(tls=served) as receiver:
        url = f"https://hook.example:{receiver.port}/"
        assert _send(url, allowed=HERE, trust=trust).delivered
        assert "certificate" in _send(url, allowed=HERE).problem.lower()
        other = f"https://other.example:{receiver.port}/"
        assert "mismatch" in _send(other, allowed=HERE, trust=trust).problem
        assert len(receiver.received) == 1


def test_an_endpoint_that_drips_its_response_times_out() -> None:
    """The timeout is for the whole attempt, not from one byte to the next."""
    timed_out = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nx-never-ends: ")
            while not timed_out.wait(0.02):
                connection.sendall(b"a")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        result = _send(url, allowed=HERE, seconds=0.5)
        timed_out.set()
    assert "no response within 0.5 s" in result.problem
