"""Where to listen and where to relay to, as people write it: `127.0.0.1:25`, `[::1]:25`, `unix:/path`, `lmtp://…`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

DEFAULT_PORTS = {"smtp": 25, "smtps": 465, "lmtp": 24}


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """A TCP host and port, or a unix socket path (then host is empty and port 0); scheme is smtp, smtps or lmtp."""

    host: str = ""
    port: int = 0
    path: str = ""
    scheme: str = "smtp"

    @property
    def is_local(self) -> bool:
        """Tell whether nothing leaves this machine on the way there."""
        if self.path or self.host.lower().rstrip(".") == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        """Return the address as it is written in the configuration."""
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(value: Any) -> Any:
    """Return the SocketAddress of a text; raise ValueError that says how an address is written."""
    if isinstance(value, SocketAddress):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no address: it must be text, in quotes if need be")
    scheme, separator, rest = value.partition("://")
    if "@" in rest and not rest.startswith(("unix:", "/")):
        # The text is not repeated: it may hold a password.
        raise ValueError("credentials do not belong into an address; use username and password_file")
    if not separator:
        scheme, rest = "smtp", value
    elif scheme not in DEFAULT_PORTS:
        raise ValueError(f"unknown scheme {scheme!r} in {value!r}; use smtp://, smtps:// or lmtp://")
    if rest.startswith(("unix:", "/")):
        return _unix(rest.removeprefix("unix:"), scheme, value)
    return _tcp(rest, scheme, DEFAULT_PORTS[scheme] if separator else None, value)


def _unix(path: str, scheme: str, value: str) -> SocketAddress:
    if not path:
        raise ValueError(f"{value!r} names no socket file; write unix:/path")
    return SocketAddress(path=path, scheme=scheme)


def _tcp(text: str, scheme: str, default_port: int | None, value: str) -> SocketAddress:
    host, separator, port = text.rpartition(":")
    if text.endswith("]") or not separator:
        host, port = text, "" if default_port is None else str(default_port)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        ipaddress.IPv6Address(host)
    elif ":" in host:
        raise ValueError(f'{value!r}: write an IPv6 address in brackets, as "[::1]:25"')
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f'{value!r} is no address; write host:port, "[::1]:port" or unix:/path')
    return SocketAddress(host=host, port=int(port), scheme=scheme)


Address = Annotated[SocketAddress, BeforeValidator(parse_address), WithJsonSchema({"type": "string"})]


def parse_name_server(value: Any) -> Any:
    """Return the SocketAddress of a name server; the port is 53 unless given, a bare IPv6 address needs no brackets."""
    if isinstance(value, SocketAddress):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no address: it must be text, in quotes if need be")
    try:
        return SocketAddress(host=str(ipaddress.ip_address(value.strip("[]"))), port=53)
    except ValueError:
        address = parse_address(value)
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        raise ValueError(f'{value!r} is no IP address; write 127.0.0.1, 127.0.0.1:53 or "[::1]:53"') from None
    return address


NameServer = Annotated[SocketAddress, BeforeValidator(parse_name_server), WithJsonSchema({"type": "string"})]


def parse_network(value: Any) -> Any:
    """Return the network of a text; a bare address is a network of one, host bits are cut; raise ValueError."""
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    try:
        # An integer would be taken for an address too, and hardly ever be meant as one.
        return ipaddress.ip_network(value if isinstance(value, str) else "", strict=False)
    except ValueError:
        raise ValueError(f'{value!r} is no network; write 192.0.2.0/24, 192.0.2.1 or "2001:db8::/32"') from None


Network = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(parse_network), WithJsonSchema({"type": "string"})
]
Networks = tuple[Network, ...]
