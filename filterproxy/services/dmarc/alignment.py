"""Identifier alignment (RFC 9989 section 4.4): does an authenticated domain speak for the Author Domain?

The one rule: an identifier that DNS trouble leaves undecided matters only when no other aligns and it could have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from filterproxy.services.dmarc.discovery import Discovery, DnsTrouble
from filterproxy.services.dmarc.record import Record

MAX_WALKS = 10  # a walk is eight questions, and a message may carry any number of signatures


class Identifier(NamedTuple):
    """A domain and the method that established it: `spf` or `dkim`."""

    method: str
    domain: str


async def any_aligned(discovery: Discovery, author: str, record: Record, identifiers: Iterable[Identifier]) -> bool:
    """Tell whether one identifier aligns with the Author Domain; raise DnsTrouble when that cannot be known."""
    candidates = sorted(set(identifiers), key=lambda found: (found.method != "spf", found.domain))
    if any(found.domain == author for found in candidates):
        return True
    relaxed = dict.fromkeys(found.domain for found in candidates if not _is_strict(found.method, record))
    # Without a common parent no walk could make two domains align.
    top = author.rpartition(".")[2]
    related = [domain for domain in relaxed if domain.rpartition(".")[2] == top]
    return bool(related) and await _any_of_organization(discovery, await discovery.organization(author), related)


def _is_strict(method: str, record: Record) -> bool:
    return record.strict_spf if method == "spf" else record.strict_dkim


async def _any_of_organization(discovery: Discovery, organization: str, domains: Iterable[str]) -> bool:
    """Tell whether one of the domains has that Organizational Domain; only those at or below it can."""
    below = [domain for domain in domains if f".{domain}".endswith(f".{organization}")]
    trouble: DnsTrouble | None = None
    for domain in below[:MAX_WALKS]:
        try:
            if await discovery.organization(domain) == organization:
                return True
        except DnsTrouble as error:
            trouble = error
    if trouble is None and len(below) > MAX_WALKS:
        trouble = DnsTrouble(f"more than {MAX_WALKS} domains to look up")
    if trouble is not None:
        raise trouble
    return False
