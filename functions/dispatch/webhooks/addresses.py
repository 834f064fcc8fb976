"""Which addresses webhooks may go to: none inside the operator's own network, unless allowed.

The addresses that are checked are the ones that are then connected to, so a name that resolves
differently the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

import httpcore

from functions.shared.networks import Network

Address = IPv4Address | IPv6Address

# For each address of an endpoint: if one does not respond, the next must still be tried.
CONNECT_SECONDS_PER_ADDRESS: Final = 5.0

# Not public, though Python's `is_global` claims so in some versions: IANA's special-purpose
# registries, and the address at which Azure serves metadata to every virtual machine.
_SPECIAL: Final = tuple(
    ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "3fff::/20")
)
# All that IANA has assigned; IPv4-mapped, site-local and unassigned addresses lie outside.
_GLOBAL_UNICAST: Final = ip_network("2000::/3")
# Tunnels with an embedded IPv4 address: 6to4 and Teredo, both obsolete.
_TUNNELS: Final = (ip_network("2002::/16"), ip_network("2001::/23"))
# RFC 6052: IPv4 addresses as seen from an IPv6-only network.
_NAT64: Final = ip_network("64:ff9b::/96")


class AddressRefused(httpcore.ConnectError):
    """The endpoint's name resolves to an address that webhooks may not go to."""


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, and to a single host there."""
    if isinstance(address, IPv6Address):
        embedded = _embedded_ipv4(address)
        if embedded is not None:
            return is_public(embedded)
        if address not in _GLOBAL_UNICAST or any(address in tunnel for tunnel in _TUNNELS):
            return False
    special = any(address in network for network in _SPECIAL)
    return address.is_global and not address.is_multicast and not special


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets for `address` are really routed to, if there is one."""
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped


def is_allowed(address: Address, networks: Iterable[Network]) -> bool:
    """Whether `address` lies in one of the operator's allowed `networks`."""
    plain = address
    if isinstance(address, IPv6Address):
        plain = address.ipv4_mapped or address
    return any(plain in network for network in networks)


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Opens connections for httpcore, to permitted addresses only.

    httpcore passes the name and the port, and starts TLS itself on the stream it gets back, so the
    Host header, SNI and the certificate check use the name.
    """

    def __init__(self, networks: Iterable[Network], *, public: bool) -> None:
        """Permit `networks`, and with `public` the public internet."""
        self._networks = tuple(networks)
        self._public = public
        self._backend = httpcore.AnyIOBackend()
        # A lookup can't be cancelled, and may take half a minute. Each endpoint has a thread of its
        # own for them, so that it delays no other.
        self._lookups = ThreadPoolExecutor(1, thread_name_prefix="webhook-lookup")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of `host` that responds.

        Raises:
            AddressRefused: one of the addresses is not permitted.
            httpcore.ConnectError, httpcore.ConnectTimeout: none of them responds.
        """
        addresses = await self._resolve(host, port)
        for address in addresses:
            self._check(address)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._backend.connect_tcp(
                    address,
                    port,
                    min(timeout or CONNECT_SECONDS_PER_ADDRESS, CONNECT_SECONDS_PER_ADDRESS),
                    local_address,
                    socket_options,
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as problem:
                failure = problem
        raise failure

    async def _resolve(self, host: str, port: int) -> list[str]:
        def look_up() -> list[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(entry[4][0]) for entry in found))

        try:
            return await asyncio.get_running_loop().run_in_executor(self._lookups, look_up)
        except (OSError, UnicodeError) as problem:
            raise httpcore.ConnectError(f"{host} can't be resolved: {problem}") from problem

    def _check(self, text: str) -> None:
        address = ip_address(text)
        if is_allowed(address, self._networks) or (self._public and is_public(address)):
            return
        scheme = "" if self._public else " with http"
        raise AddressRefused(f"{text} must not be called{scheme}; see WEBHOOK_ALLOWED_NETWORKS")
