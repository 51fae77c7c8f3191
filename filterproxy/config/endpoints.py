"""From the configuration of a next hop to endpoints: what to connect to, and how, with every default decided.

The rule: whatever is contradictory, or would send a secret in the clear, is an error here and never a surprise later.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from filterproxy.config.addresses import SocketAddress
from filterproxy.config.next_hop import Hop, HopGroup, HopItem, NextHop, Provider, ProviderServer, TlsPolicy
from filterproxy.config.yaml_loader import KeyPath

Providers = Mapping[str, Provider]
_SECRETS = ("password_file", "token_file", "token_command")
_STARTTLS_PORTS = (25, 587)
_IMPLICIT_PORT = 465


class HopProblem(ValueError):
    """A next hop is wrong: `key` is the one at fault below the hop, empty for the hop itself; `valid` what would do."""

    def __init__(self, reason: str, key: str = "", valid: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason, self.key, self.valid = reason, key, valid


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server with everything decided; `settings` holds the time-outs and limits as configured.

    `tls` is never None; the scheme smtps means TLS from the first octet. `detects_tls` finds out by trying whether it
    is that or STARTTLS. Paths are absolute. `secret` is the name of the key that says where the secret is, if any.
    """

    name: str
    address: SocketAddress
    settings: Hop
    tls: TlsPolicy
    server_name: str
    ca_file: Path | None = None
    detects_tls: bool = False
    secret: str = ""
    secret_file: Path | None = None
    token_command: tuple[str, ...] = ()

    @property
    def lmtp(self) -> bool:
        """Tell whether LMTP is spoken."""
        return self.address.scheme == "lmtp"

    @property
    def has_password(self) -> bool:
        """Tell whether the secret is a password and no token."""
        return self.secret == _SECRETS[0]


@cache
def builtin_providers() -> Providers:
    """Return the presets that come with the program."""
    data = yaml.safe_load(Path(__file__).with_name("providers.yml").read_text(encoding="utf-8"))
    return {name: Provider.model_validate(value) for name, value in data.items()}


def all_providers(own: Providers) -> Providers:
    """Return the built-in presets with the site's own over them."""
    return {**builtin_providers(), **own}


def endpoints(group: HopGroup, providers: Providers, base_dir: Path) -> tuple[Endpoint, ...]:
    """Return the servers of a group in the order they are written; raise HopProblem."""
    return tuple(endpoint(hop, providers, base_dir) for _, hop in written_hops(group))


def written_hops(group: HopGroup) -> Iterator[tuple[KeyPath, Hop]]:
    """Yield each server of a group with its place below it, its missing keys filled in; raise HopProblem."""
    if not group.hops:
        yield (), group
        return
    for key in ("address", "provider"):
        if getattr(group, key):
            raise HopProblem(f"{key} and hops exclude each other", key)
    shared = {name: getattr(group, name) for name in HopItem.model_fields if name != "name"}
    for number, hop in enumerate(group.hops):
        own = {name: getattr(hop, name) for name in hop.model_fields_set}
        yield ("hops", number), HopItem.model_construct(**{**shared, "name": "", **own})


def every_group(next_hop: NextHop) -> Iterator[tuple[KeyPath, HopGroup]]:
    """Yield the group of the next hop itself and those of its routes, each with its place."""
    yield (), next_hop
    for domain, group in next_hop.routes.items():
        yield ("routes", domain), group


def endpoint(hop: Hop, providers: Providers, base_dir: Path) -> Endpoint:
    """Return the endpoint of one server; raise HopProblem."""
    if bool(hop.address) == bool(hop.provider):
        raise HopProblem("needs an address or a provider" if not hop.address else "has an address and a provider")
    address, detects = _preset(hop, providers) if hop.provider else (_own_address(hop), False)
    secret = _secret(hop)
    return Endpoint(
        name=hop.name or hop.provider or str(address),
        address=address,
        settings=hop,
        tls=_policy(hop, address, secret),
        server_name=(hop.server_name or address.host).rstrip(".") or "localhost",
        ca_file=base_dir / hop.ca_file if hop.ca_file else None,
        detects_tls=detects,
        secret=secret,
        secret_file=base_dir / getattr(hop, secret) if secret.endswith("_file") else None,
        token_command=_command(hop),
    )


def _own_address(hop: Hop) -> SocketAddress:
    assert hop.address is not None
    for key in ("host", "port"):
        if getattr(hop, key):
            raise HopProblem(f"{key} belongs to a provider; it is part of the address here", key)
    return hop.address


def _preset(hop: Hop, providers: Providers) -> tuple[SocketAddress, bool]:
    """Return a provider's address, and whether the kind of TLS has to be found out."""
    provider = providers.get(hop.provider)
    if provider is None:
        raise HopProblem(f"unknown provider {hop.provider!r}", "provider", tuple(providers))
    if "@" not in hop.username.strip("@"):
        raise HopProblem(f"{hop.provider} wants the whole address as user name", "username" if hop.username else "")
    if not _secret(hop):
        raise HopProblem(f"{hop.provider} needs AUTH: add password_file, token_file or token_command")
    return _preset_address(hop, provider)


def _preset_address(hop: Hop, provider: Provider) -> tuple[SocketAddress, bool]:
    if not provider.servers:
        raise HopProblem(f"provider {hop.provider} has no servers", "provider")
    named = [server for server in provider.servers if server.host == hop.host] or list(provider.servers)
    fitting = [server for server in named if hop.port in (None, server.port)]
    if fitting:
        return _published(hop.host or fitting[0].host, fitting[0]), False
    assert hop.port is not None
    if hop.host in ("", *(server.host for server in provider.servers)):
        ports = tuple(dict.fromkeys(str(server.port) for server in named))
        raise HopProblem(f"{hop.provider} has no port {hop.port}", "port", ports)
    implicit = hop.port not in _STARTTLS_PORTS
    detects = implicit and hop.port != _IMPLICIT_PORT
    return SocketAddress(hop.host, hop.port, scheme="smtps" if implicit else "smtp"), detects


def _published(host: str, server: ProviderServer) -> SocketAddress:
    return SocketAddress(host, server.port, scheme="smtps" if server.tls == "implicit" else "smtp")


def _secret(hop: Hop) -> str:
    """Return the key that says where the secret is, an empty text without credentials."""
    given = [key for key in _SECRETS if getattr(hop, key)]
    if len(given) > 1:
        raise HopProblem(f"{' and '.join(given)} exclude each other", given[-1])
    if hop.username and not given:
        raise HopProblem("username needs password_file, token_file or token_command", "username")
    if given and not hop.username:
        raise HopProblem(f"{given[0]} needs a username", given[0])
    if given and hop.mechanism and (hop.mechanism in ("plain", "login")) != (given == ["password_file"]):
        raise HopProblem(f"mechanism {hop.mechanism} does not go with {given[0]}", "mechanism")
    return given[0] if given else ""


def _policy(hop: Hop, address: SocketAddress, secret: str) -> TlsPolicy:
    safe = "verify" if hop.provider else None
    if safe and hop.tls not in (None, safe):
        raise HopProblem(f"{hop.provider} is never used without a checked certificate", "tls", (safe,))
    if hop.tls in ("none", "may"):
        if address.scheme == "smtps":
            raise HopProblem(f"smtps:// and tls: {hop.tls} contradict each other", "tls", ("encrypt", "verify"))
        if secret and not address.is_local:
            raise HopProblem(f"tls: {hop.tls} could send the password in the clear", "tls", ("encrypt", "verify"))
    policy = hop.tls or _default_policy(address, secret)
    if policy == "verify" and not (hop.server_name or address.host):
        raise HopProblem("tls: verify on a unix socket needs a server_name")
    return policy


def _default_policy(address: SocketAddress, secret: str) -> TlsPolicy:
    if address.scheme == "smtps" or (secret and not address.path):
        return "verify"
    return "none" if address.is_local else "may"


def _command(hop: Hop) -> tuple[str, ...]:
    if not isinstance(hop.token_command, str):
        return hop.token_command
    try:
        return tuple(shlex.split(hop.token_command))
    except ValueError as error:
        raise HopProblem(f"cannot be split into words: {error}", "token_command") from None
