"""What an examination found, and what every examination may look at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from filterproxy.config.loader import Loaded
from filterproxy.core.ports import Clock, Resolver, Site
from filterproxy.pipeline import CheckSet
from filterproxy.services.resolver import DnsResolver


class Status(StrEnum):
    """How bad it is: only a problem makes the whole unhealthy."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one thing; `advice` says what to do unless all is well. Both may hold untrusted text."""

    area: str
    status: Status
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class System:
    """Where the machine keeps what is looked at; tests name others."""

    resolved: Path = Path("/run/systemd/resolve/resolv.conf")
    postfix_config: Path = Path("/etc/postfix")
    postfix_user: str = "postfix"


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined. `checks` are those that could be made, all of them unless the area `checks` says why not."""

    loaded: Loaded
    site: Site
    checks: CheckSet
    resolver: DnsResolver
    clock: Clock
    system: System

    @property
    def asks_lists(self) -> bool:
        """Tell whether DNS lists are enabled."""
        return "dnslists" in self.loaded.checks


Examination = Callable[[Patient], Awaitable[Sequence[Finding]]]


async def answer_of(resolver: Resolver, name: str, rtype: str) -> tuple[tuple[str, ...], str]:
    """Return the records as text, and why there is no answer at all (empty when DNS answered)."""
    answer = await resolver.resolve(name, rtype)
    records = tuple(
        item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in answer.records
    )
    return records, answer.reason if answer.status == "temperror" else ""
