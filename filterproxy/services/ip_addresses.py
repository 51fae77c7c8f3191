"""Client addresses as DNS wants them: unwrapped, reversed, and whether the world knows anything about them.

The one rule: an IPv4 address inside IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

# Addresses that are somebody else's in every network; the ranges for documentation are not among them.
_NOT_PUBLIC: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
        "::/127",
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    )
)


def parse_ip(text: str) -> Address | None:
    """Return the address, None for text that is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def is_public(address: Address) -> bool:
    """Tell whether DNS outside this network can know the address."""
    return not any(address in network for network in _NOT_PUBLIC)


def reversed_labels(address: Address) -> str:
    """Return the labels of a DNS list's query: octets or nibbles, last first (RFC 5782 sections 2.1, 2.4)."""
    return address.reverse_pointer.rpartition(".")[0].rpartition(".")[0]
