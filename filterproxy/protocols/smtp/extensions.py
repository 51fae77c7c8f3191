"""EHLO keywords: what a next hop offers, and what we may offer in its name.

The rule: nothing is offered that the next hop could not take from us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.xforward import ATTRIBUTES

# PIPELINING is ours: commands are taken from a buffer one by one, whatever the next hop can do.
_MIRRORED = ("8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")


@dataclass(frozen=True, slots=True)
class Extensions:
    """The keywords of an EHLO reply in upper case, each with its parameters as one text."""

    keywords: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, reply: Reply) -> Extensions:
        """Return the keywords of an EHLO reply; its first line is the greeting."""
        return _parsed(reply.lines[1:])

    def __contains__(self, keyword: object) -> bool:
        return keyword in self.keywords

    @property
    def size(self) -> int:
        """Return the size limit, 0 when there is none or it is not told."""
        value = self.keywords.get("SIZE", "")
        return int(value) if value.isascii() and value.isdigit() and len(value) <= 20 else 0

    @property
    def xforward(self) -> frozenset[str]:
        """Return the XFORWARD attributes the server takes."""
        return frozenset(self.keywords.get("XFORWARD", "").upper().split())


@lru_cache(maxsize=16)
def _parsed(lines: tuple[str, ...]) -> Extensions:
    """Return the keywords of EHLO lines; a next hop says the same to every session."""
    words = (line.strip().partition(" ") for line in lines)
    return Extensions({keyword.upper(): parameters.strip() for keyword, _, parameters in words if keyword})


def announced(next_hop: Extensions, *, size: int, xforward: bool) -> tuple[str, ...]:
    """Return the keyword lines of our EHLO reply; `size` is our own limit, 0 for none."""
    limits = [limit for limit in (size, next_hop.size) if limit]
    lines = ["PIPELINING", f"SIZE {min(limits)}" if limits else "SIZE"]
    lines += [keyword for keyword in _MIRRORED if keyword in next_hop]
    if xforward:
        lines.append(f"XFORWARD {' '.join(ATTRIBUTES)}")
    return tuple(lines)
