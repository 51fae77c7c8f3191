"""Return codes of DNS lists: the patterns that say what an answer means.

The one rule: a code lies in 127.0.0.0/8; a pattern that could match anything else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network

LISTINGS = IPv4Network("127.0.0.0/8")

Matcher = Callable[[IPv4Address], bool]

_WITH_STARS = re.compile(r"127(\.(\*|\d{1,3})){3}\Z")


def parse_code(pattern: str) -> Matcher:
    """Return a test for a return code.

    Forms: `127.0.0.2`, `127.0.0.4-7`, `127.0.0.0/28`, `127.0.*.2`, or `bit:8` for a bitmask. Raises ValueError that
    says what is wrong.
    """
    try:
        return _parse(pattern.strip())
    except ValueError as error:
        raise ValueError(
            f"{pattern!r} is no return code ({error}); write 127.0.0.2, 127.0.0.4-7, 127.0.0.0/28, 127.0.*.2 or bit:8"
        ) from None


def _parse(pattern: str) -> Matcher:
    if pattern.startswith("bit:"):
        return _bit(pattern.removeprefix("bit:"))
    if "*" in pattern:
        return _stars(pattern)
    if "/" in pattern:
        network = IPv4Network(pattern)
        if not network.subnet_of(LISTINGS):
            raise ValueError("codes are in 127.0.0.0/8")
        return lambda code: code in network
    first, _, last = pattern.partition("-")
    low = IPv4Address(first)
    high = IPv4Address(last if "." in last else f"{first.rpartition('.')[0]}.{last}") if last else low
    if not (low in LISTINGS and high in LISTINGS and low <= high):
        raise ValueError("codes are in 127.0.0.0/8, lowest first")
    return lambda code: low <= code <= high


def _bit(text: str) -> Matcher:
    mask = int(text, 0)
    if not 0 < mask < 1 << 24:
        raise ValueError("a bit is between 1 and 16777215")
    return lambda code: bool(int(code) & mask)


def _stars(pattern: str) -> Matcher:
    if not _WITH_STARS.match(pattern):
        raise ValueError("a star stands for one octet after 127")
    wanted = [(place, int(octet)) for place, octet in enumerate(pattern.split(".")) if octet != "*"]
    if any(octet > 255 for _, octet in wanted):
        raise ValueError("an octet is at most 255")
    return lambda code: all(code.packed[place] == octet for place, octet in wanted)
