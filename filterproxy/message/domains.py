"""Host names: ASCII form (IDNA), IP addresses in every spelling browsers take, registrable domains.

The one rule: a name that cannot be converted is returned as it is, lower case; nothing here asks DNS. Answers are
cached for names of at most 253 characters, so that no message can fill the memory with its names.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

_MAX_NAME = 253
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z")
_DOTS = str.maketrans({"\u3002": ".", "\uff0e": ".", "\uff61": "."})


def ascii_domain(name: str) -> str:
    """Return a domain in lower case and ASCII (UTS 46, as browsers do), without a final dot."""
    name = name.lower().removesuffix(".")
    return name if name.isascii() or len(name) > _MAX_NAME else _to_ascii(name)


@lru_cache(maxsize=4096)
def _to_ascii(name: str) -> str:
    import idna  # its tables are large and most mail needs none of them

    name = name.translate(_DOTS)
    try:
        return idna.encode(name, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        return name


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=True)


def registrable_domain(host: str) -> str:
    """Return the public suffix and one label (`b.co.uk` of `a.b.co.uk`), empty for an IP address or a suffix itself."""
    return _registrable(host) if 0 < len(host) <= _MAX_NAME else ""


@lru_cache(maxsize=8192)
def _registrable(host: str) -> str:
    if ":" in host or parse_ipv4(host):
        return ""
    return str(_suffixes().privatesuffix(host) or "")


def is_public_suffix(name: str) -> bool:
    """Tell whether the public suffix list names this suffix (an unlisted top-level domain is none)."""
    return 0 < len(name) <= _MAX_NAME and _is_suffix(name)


@lru_cache(maxsize=4096)
def _is_suffix(name: str) -> bool:
    return bool(_suffixes().is_public(name)) and _suffixes().publicsuffix(name, accept_unknown=False) == name


def parse_ipv4(host: str) -> str:
    """Return the dotted address of `1.2.3.4`, `0x7f.1`, `017700000001` or `2130706433`, empty when it is none.

    The WHATWG URL Standard's IPv4 parser: one to four numbers, decimal, octal or hexadecimal, the last fills up.
    """
    pieces = host.removesuffix(".").split(".", 4)
    if len(pieces) > 4 or not all(len(piece) <= 16 and _NUMBER.match(piece) for piece in pieces):
        return ""
    numbers = [_number(piece) for piece in pieces]
    *heads, tail = numbers
    if None in numbers or tail is None or tail >= 256 ** (5 - len(numbers)):
        return ""
    value = tail
    for position, head in enumerate(heads):
        if head is None or head > 255:
            return ""
        value += head << (8 * (3 - position))
    return str(ipaddress.IPv4Address(value))


def _number(piece: str) -> int | None:
    try:
        if piece.startswith("0x"):
            return int(piece[2:] or "0", 16)
        return int(piece, 8 if piece.startswith("0") and len(piece) > 1 else 10)
    except ValueError:
        return None
