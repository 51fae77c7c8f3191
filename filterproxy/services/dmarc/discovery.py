"""The DNS Tree Walk (RFC 9989 section 4.10): which record applies to a domain, and what its organisation is.

The one rule: DNS that does not answer is DnsTrouble, and never 'there is no policy'.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from filterproxy.core.ports import DnsStatus, Resolver
from filterproxy.services.dmarc.record import Policy, Record, is_current, parse_record

MAX_LABELS = 8


class DnsTrouble(Exception):
    """A question that decides the result was not answered."""


@dataclass(frozen=True, slots=True)
class Found:
    """A valid record and the domain that publishes it."""

    domain: str
    record: Record


class Discovery:
    """Finds the DMARC records of domains."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def applicable(self, author: str) -> Found | None:
        """Return the record that applies to mail of that Author Domain; raise DnsTrouble.

        Preferred is its own, then its Organizational Domain's, then that of the public suffix above.
        """
        own = await self._record(author)
        if own is not None:
            return Found(author, own)
        walk = await self._walk(author)
        organization = _organization(author, walk)
        return next((found for found in walk if found.domain == organization), walk[-1] if walk else None)

    async def organization(self, domain: str) -> str:
        """Return the Organizational Domain; raise DnsTrouble."""
        return _organization(domain, await self._walk(domain))

    async def policy(self, author: str, found: Found) -> Policy:
        """Return what the owner asks to do with mail of that Author Domain that fails; raise DnsTrouble."""
        record, subdomain = found.record, found.domain != author
        existing = record.asked(subdomain=subdomain, exists=True)
        missing = record.asked(subdomain=subdomain, exists=False)
        return existing if existing == missing or await self._exists(author) else missing

    async def _exists(self, domain: str) -> bool:
        """Tell whether the name, or one below it, is in DNS: everything but NXDOMAIN says so (RFC 8020)."""
        # The NXDOMAIN for an alias may be its target's (RFC 6604 section 3), so the alias itself is asked for too.
        for rtype in ("A", "CNAME"):
            answer = await self._resolver.resolve(domain, rtype)
            if answer.status is DnsStatus.TEMPERROR:
                raise DnsTrouble(f"{domain}: {answer.reason}")
            if answer.status is not DnsStatus.NXDOMAIN:
                return True
        return False

    async def _walk(self, domain: str) -> list[Found]:
        """Return the valid records from the domain up, ending with one that says psd=y or psd=n."""
        targets = walk_targets(domain)
        records = await asyncio.gather(*map(self._record, targets), return_exceptions=True)
        walk: list[Found] = []
        for target, record in zip(targets, records, strict=True):
            if isinstance(record, BaseException):
                raise record
            if record is not None:
                walk.append(Found(target, record))
                if record.public_suffix != "u":
                    break
        return walk

    async def _record(self, domain: str) -> Record | None:
        answer = await self._resolver.resolve(f"_dmarc.{domain}", "TXT")
        if answer.status is DnsStatus.TEMPERROR:
            raise DnsTrouble(f"_dmarc.{domain}: {answer.reason}")
        records = [text for text in answer.records if is_current(text)]
        return parse_record(records[0]) if len(records) == 1 else None  # several are none


def walk_targets(domain: str) -> list[str]:
    """Return the names whose records a walk asks for, the domain itself first; at most eight (section 4.10)."""
    labels = domain.split(".")
    keep = min(len(labels) - 1, MAX_LABELS - 1)
    return [domain, *(".".join(labels[-count:]) for count in range(keep, 0, -1))]


def _organization(domain: str, walk: list[Found]) -> str:
    """Return the Organizational Domain that a walk from the domain shows (section 4.10.2)."""
    for found in walk:
        if found.record.public_suffix == "n":
            return found.domain
        if found.record.public_suffix == "y" and found.domain != domain:
            below = domain.split(".")
            return ".".join(below[-(found.domain.count(".") + 2) :])
    return walk[-1].domain if walk else domain
