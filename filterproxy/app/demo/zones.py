"""The demo's part of DNS: names and networks that are reserved for documentation, and so exist nowhere else.

The rule: only reserved names are answered here (RFC 2606, RFC 5737); everything else goes to the system's DNS.
"""

from __future__ import annotations

from typing import Any

from filterproxy.app.compose import ClosableResolver
from filterproxy.core.ports import DnsAnswer

_RESERVED = ("example", "2.0.192.in-addr.arpa", "100.51.198.in-addr.arpa", "113.0.203.in-addr.arpa")

LIST_ZONE = "bl.filterproxy.example"
ORCHARD, STUDIO, BOOKSHOP, BANK = "192.0.2.10", "192.0.2.20", "192.0.2.30", "192.0.2.40"
SPAMMER, FORGER = "203.0.113.66", "203.0.113.99"

Zone = dict[str, dict[str, list[Any]]]


def demo_zones() -> Zone:
    """Return all records, by owner name and type."""
    zones = (
        _sender("orchard.example", "mail", ORCHARD, "none")
        | _sender("studio-bianchi.example", "posta", STUDIO, "quarantine")
        | _sender("bookshop.example", "mta", BOOKSHOP, "reject")
        | _sender("bank.example", "mail", BANK, "reject")
        | _listed(SPAMMER)
        | _listed("127.0.0.2")  # RFC 5782: every list names its test address
    )
    zones["mx.filterproxy.example"] = {"A": ["127.0.0.1"]}
    return zones


def _sender(domain: str, host: str, address: str, policy: str) -> Zone:
    """Return a domain that sends from one host: SPF, DMARC, and names that agree in both directions."""
    name = f"{host}.{domain}"
    return {
        domain: {"A": [address], "MX": [(10, name)], "TXT": [f"v=spf1 ip4:{address} -all"]},
        f"_dmarc.{domain}": {"TXT": [f"v=DMARC1; p={policy}"]},
        name: {"A": [address], "TXT": ["v=spf1 a -all"]},
        f"{_reversed(address)}.in-addr.arpa": {"PTR": [f"{name}."]},
    }


def _listed(address: str) -> Zone:
    return {f"{_reversed(address)}.{LIST_ZONE}": {"A": ["127.0.0.2"], "TXT": ["listed for the demo"]}}


def _reversed(address: str) -> str:
    return ".".join(reversed(address.split(".")))


def is_reserved(name: str) -> bool:
    """Tell whether the demo's own server answers for the name."""
    plain = name.rstrip(".").lower()
    return any(plain == zone or plain.endswith("." + zone) for zone in _RESERVED)


class DemoResolver:
    """Asks the demo's server for reserved names and the system's servers for all others."""

    def __init__(self, own: ClosableResolver, others: ClosableResolver) -> None:
        self._own, self._others = own, others

    async def resolve(self, name: str, rtype: str) -> DnsAnswer:
        """Return the answer of the server that is responsible."""
        return await (self._own if is_reserved(name) else self._others).resolve(name, rtype)

    async def close(self) -> None:
        """Close both."""
        await self._own.close()
        await self._others.close()
