"""One description of DNS for every way of answering: a table, a real server, and what mailauth is told.

`{(name, type): records}`, records as text (TXT as text or bytes), or SERVFAIL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from filterproxy.core.ports import DnsAnswer
from filterproxy.services.resolver import DnsResolver
from filterproxy.testing import FakeClock, FakeResolver
from filterproxy.testing.dns_server import SERVFAIL as SERVER_FAILURE
from filterproxy.testing.dns_server import TRUNCATED, Behaviour, DnsServer

SERVFAIL = "SERVFAIL"
Zone = Mapping[tuple[str, str], Sequence[Any] | str]


class TableResolver(FakeResolver):
    """Answers from the table and follows aliases."""

    async def resolve(self, name: str, rtype: str) -> DnsAnswer:
        owner = name.lower().rstrip(".")
        for _ in range(10):
            alias = self._table.get((owner, "CNAME"))
            if rtype == "CNAME" or not alias:
                break
            owner = alias[0]
        return await super().resolve(owner, rtype)


def table_of(zone: Zone) -> TableResolver:
    """Return a resolver without any network."""
    return TableResolver(
        {
            key: None if records == SERVFAIL else [_octets(key, record) for record in records]
            for key, records in zone.items()
        }
    )


def _octets(key: tuple[str, str], record: Any) -> Any:
    if key[1] != "TXT":
        return record
    strings = record if isinstance(record, tuple | list) else [record]
    return b"".join(text.encode() if isinstance(text, str) else text for text in strings)


def serve(server: DnsServer, zone: Zone, transport: str) -> None:
    """Load the zone; with `tcp` every answer over UDP is cut."""
    zones: dict[str, dict[str, Sequence[Any]]] = {}
    behaviours: dict[Any, Behaviour] = {}
    for (name, rtype), records in zone.items():
        if records == SERVFAIL:
            behaviours[name, rtype] = SERVER_FAILURE
            zones.setdefault(name, {})
        else:
            zones.setdefault(name, {})[rtype] = records
            if transport == "tcp":
                behaviours[name, rtype] = TRUNCATED
    server.load(zones)
    server.behaviours = behaviours


@asynccontextmanager
async def resolver_on(server: DnsServer) -> AsyncIterator[DnsResolver]:
    """Yield our resolver with that server."""
    resolver = DnsResolver([(server.host, server.port)], FakeClock(), timeout=5.0)
    try:
        yield resolver
    finally:
        await resolver.close()


def as_json(zone: Zone) -> dict[str, Any]:
    """Return the zone as mailauth's resolver is told it: octets as latin-1 text."""
    return {
        f"{name.lower()} {rtype}": records if records == SERVFAIL else [_latin(record) for record in records]
        for (name, rtype), records in zone.items()
    }


def _latin(record: Any) -> Any:
    if isinstance(record, bytes):
        return record.decode("latin-1")
    return "".join(map(_latin, record)) if isinstance(record, tuple | list) else record
