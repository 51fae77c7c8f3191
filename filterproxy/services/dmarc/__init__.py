"""DMARC (RFC 9989) without the message's own results: whose mail it is, which policy applies, what aligns."""

from filterproxy.services.dmarc.alignment import Identifier, any_aligned
from filterproxy.services.dmarc.author import Author, read_author
from filterproxy.services.dmarc.discovery import Discovery, DnsTrouble
from filterproxy.services.dmarc.record import Policy, Record, parse_record

__all__ = [
    "Author",
    "Discovery",
    "DnsTrouble",
    "Identifier",
    "Policy",
    "Record",
    "any_aligned",
    "parse_record",
    "read_author",
]
