"""Parses lists of networks in settings: `10.0.0.0/8, fd00::/8`."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network


def parse_networks(text: str | None) -> tuple[Network, ...]:
    """Parse networks that are separated by commas.

    Raises:
        ValueError: one of them is not a network.
    """
    parts = (part.strip() for part in (text or "").split(","))
    return tuple(ip_network(part) for part in parts if part)
