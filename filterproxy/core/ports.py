"""What checks may use of the outside world, as interfaces: `services` implements them, tests fake them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Network = IPv4Network | IPv6Network


class DnsStatus(StrEnum):
    """How a DNS question ended: TEMPERROR is 'we do not know' and never 'it does not exist'."""

    FOUND = "found"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    TEMPERROR = "temperror"


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """The answer to one question.

    `records` by type: A and AAAA text addresses; MX (preference, host) pairs; TXT joined bytes; PTR, CNAME and NS
    host names. Names are lower case without the final dot. `reason` says why a TEMPERROR.
    """

    status: DnsStatus
    records: tuple[Any, ...] = ()
    reason: str = ""


class Resolver(Protocol):
    """Asks DNS; a failure is an answer with status TEMPERROR, never an exception."""

    async def resolve(self, name: str, rtype: str) -> DnsAnswer:
        """Return the answer for a name (text, IDNA allowed) and a type (`A`, `AAAA`, `MX`, `TXT`, `PTR`, `NS`)."""


class Clock(Protocol):
    """Time, injected so that tests need not wait."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""

    def now(self) -> datetime:
        """Return the time of day, aware, in UTC."""

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""


class Store(Protocol):
    """Small state shared by all workers and kept across restarts."""

    async def get(self, namespace: str, key: str) -> bytes | None:
        """Return the value, or None when it is absent or expired."""

    async def put(self, namespace: str, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store the value, for `ttl` seconds or for good."""


class ScanPool(Protocol):
    """Where long CPU work runs, off the event loop."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the function's result, or raise what it raised."""


class Log(Protocol):
    """A check's way to tell the operator something; text is escaped by the log itself."""

    def warning(self, message: str, *args: object) -> None:
        """Log something an operator should act on (printf style)."""

    def info(self, message: str, *args: object) -> None:
        """Log something worth knowing (printf style)."""


class CheckMetrics(Protocol):
    """A check's way to count something that is no symbol."""

    def dns_list(self, name: str, off_because: str, owner: object) -> None:
        """Note that a DNS list is off for that reason (one word), or on (empty); `owner` knows it now."""

    def forget_dns_list(self, name: str, owner: object) -> None:
        """Note that the owner knows the list no more; unless it has another owner since, nobody does."""


class NoMetrics:
    """CheckMetrics that count nothing."""

    def dns_list(self, name: str, off_because: str, owner: object) -> None:
        """Do nothing."""

    def forget_dns_list(self, name: str, owner: object) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model of the classifier: its examples, when it was made, and why it cannot be used (empty when it can)."""

    name: str
    in_use: bool
    spam: int = 0
    ham: int = 0
    created: str = ""
    problem: str = ""


class Models(Protocol):
    """The classifier's models of a site; reads and writes files: call it in a thread."""

    def known(self) -> list[KnownModel]:
        """Return every model; raise FilterproxyError."""

    def use(self, name: str) -> str | None:
        """Use another of them; return its name, None when there is none. Raises FilterproxyError."""

    def rollback(self) -> str | None:
        """Go back to the one before; return its name, None when there is none. Raises FilterproxyError."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the administrator said about this site.

    `base_dir` is the folder of the configuration file (relative paths start there), `state_dir` where learned
    state is kept. `offline` means that DNS must not be asked.
    """

    hostname: str
    base_dir: Path
    state_dir: Path
    trusted_networks: tuple[Network, ...] = ()
    local_networks: tuple[Network, ...] = ()
    local_domains: frozenset[str] = field(default_factory=frozenset)
    relay_domains: frozenset[str] = field(default_factory=frozenset)
    offline: bool = False

    def is_trusted(self, address: str) -> bool:
        """Tell whether the IP address may say who the real client is (trusted_networks)."""
        return in_networks(address, self.trusted_networks)

    def is_local(self, address: str) -> bool:
        """Tell whether the IP address is one of our own clients (local_networks)."""
        return in_networks(address, self.local_networks)


def in_networks(address: str, networks: tuple[Network, ...]) -> bool:
    """Tell whether an IP address lies in one of the networks; text that is no address lies in none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)
