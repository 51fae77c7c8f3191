"""The envelope: RFC 5321 paths with the parameters they came with.

Addresses are text without angle brackets; octets that are not UTF-8 are kept as surrogate escapes, so that
`address.encode("utf-8", "surrogateescape")` gives back what the client sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Recipient:
    """One accepted RCPT TO: address and ESMTP parameters as sent (`NOTIFY=NEVER`)."""

    address: str
    parameters: tuple[str, ...] = ()


@dataclass(slots=True)
class Envelope:
    """MAIL FROM and the accepted recipients; `mail_from` is `""` for the null sender, None before MAIL."""

    mail_from: str | None = None
    mail_parameters: tuple[str, ...] = ()
    recipients: list[Recipient] = field(default_factory=list)

    @property
    def rcpt_to(self) -> tuple[str, ...]:
        """Return the recipients' addresses in the order of their RCPT commands."""
        return tuple(recipient.address for recipient in self.recipients)

    def domains(self) -> Iterator[str]:
        """Yield the lower-case domain of each recipient."""
        for recipient in self.recipients:
            yield recipient.address.rpartition("@")[2].lower()


def domain_of(address: str) -> str:
    """Return the lower-case domain of an address without its final dot, or an empty string."""
    return address.rpartition("@")[2].lower().rstrip(".") if "@" in address else ""
