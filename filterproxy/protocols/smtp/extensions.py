"""EHLO keywords: what a next hop offers, and what we may offer in its name.

The rule: nothing is offered that the next hop could not take from us.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.xforward import ATTRIBUTES, CLIENT_ATTRIBUTES

# PIPELINING is ours: commands are taken from a buffer one by one, whatever the next hop can do. CHUNKING is carried by
# DATA: what comes in chunks is one message, and BINARYMIME is never offered.
_MIRRORED = ("8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "CHUNKING")


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

    @property
    def xclient(self) -> frozenset[str]:
        """Return the XCLIENT attributes the server takes."""
        return frozenset(self.keywords.get("XCLIENT", "").upper().split())

    @property
    def auth(self) -> frozenset[str]:
        """Return the AUTH mechanisms the server offers; the old spelling `AUTH=LOGIN` counts."""
        texts = [f"{keyword} {parameters}" for keyword, parameters in self.keywords.items() if keyword[:4] == "AUTH"]
        return frozenset(word for text in texts for word in text.upper().replace("=", " ").split()[1:])


@lru_cache(maxsize=16)
def _parsed(lines: tuple[str, ...]) -> Extensions:
    """Return the keywords of EHLO lines; a next hop says the same to every session."""
    words = (line.strip().partition(" ") for line in lines)
    return Extensions({keyword.upper(): parameters.strip() for keyword, _, parameters in words if keyword})


@dataclass(frozen=True, slots=True)
class Offer:
    """What we offer on top of the next hop's: our size limit (0 is none), and what this client may use now."""

    size: int = 0
    forwards: bool = False
    tls: bool = False
    mechanisms: Collection[str] = ()


def announced(next_hop: Extensions, offer: Offer) -> tuple[str, ...]:
    """Return the keyword lines of our EHLO reply."""
    limits = [limit for limit in (offer.size, next_hop.size) if limit]
    lines = ["PIPELINING", f"SIZE {min(limits)}" if limits else "SIZE"]
    lines += [keyword for keyword in _MIRRORED if keyword in next_hop]
    if offer.tls:
        lines.append("STARTTLS")
    if offer.mechanisms:
        lines.append(f"AUTH {' '.join(sorted(offer.mechanisms))}")
    if offer.forwards:
        lines.append(f"XCLIENT {' '.join(CLIENT_ATTRIBUTES)}")
        lines.append(f"XFORWARD {' '.join(ATTRIBUTES)}")
    return tuple(lines)
