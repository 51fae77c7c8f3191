"""DNS messages on the fast path: build a query, read the answer to it.

The one rule: every length and pointer in a packet is checked before it is used; what does not parse is a
MalformedResponse and never an exception of another kind.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any

import idna

# RFC 1035 section 3.2.2, RFC 3596, RFC 7208 section 13.1 (SPF is only asked for by tests of conformance).
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SPF": 99}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
NOERROR, FORMERR, NXDOMAIN, NOTIMP = 0, 1, 3, 4
UDP_PAYLOAD = 1232  # fits every path without fragments (DNS flag day 2020)

_CNAME, _SOA = TYPES["CNAME"], TYPES["SOA"]
_HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")  # type, class, TTL, RDLENGTH
_OPT = struct.pack("!BHHIH", 0, 41, UDP_PAYLOAD, 0, 0)
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_*/+=@&%#~!$^:?|'`{}[]")
_LENGTHS = [bytes([length]) for length in range(64)]
_MAX_POINTERS = 64
_MAX_RECORDS = 500  # read of one answer: more than any honest one has, and its cost is bounded
_TO_QUESTION = b"\xc0\x0c"  # the compression pointer to the name asked for, in nearly every answer


class InvalidName(ValueError):
    """The text cannot be a domain name: an empty or too long label, or too long in all."""


class MalformedResponse(ValueError):
    """The packet does not parse, or its CNAMEs go in a circle."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a packet said: response code, TC bit, the records at the end of the CNAME chain, and a TTL in seconds."""

    rcode: int
    truncated: bool
    records: tuple[Any, ...]
    ttl: int


def encode_name(name: str) -> bytes:
    """Return the wire form of a name, lower case; IDNA is applied to non-ASCII text; raises InvalidName."""
    if name.endswith("."):
        name = name[:-1]
    if not name.isascii():
        name = _to_ascii(name)
    octets = name.lower().encode("ascii")
    if not octets or len(octets) > 253:
        raise InvalidName(name)
    labels = octets.split(b".")
    lengths = list(map(len, labels))
    if max(lengths) > 63 or not min(lengths):
        raise InvalidName(name)
    return b"".join([_LENGTHS[length] + label for length, label in zip(lengths, labels, strict=True)]) + b"\0"


def _to_ascii(name: str) -> str:
    if len(name) > 253:  # before IDNA, whose cost grows faster than the text
        raise InvalidName(name)
    try:
        return ".".join(
            label if label.isascii() else idna.encode(label, uts46=True).decode("ascii") for label in name.split(".")
        )
    except UnicodeError as error:
        raise InvalidName(name) from error


def randomize_case(wire_name: bytes) -> bytes:
    """Return the name with each letter in a random case; lengths of labels are below all letters."""
    coins = os.urandom(len(wire_name))
    return bytes(
        octet ^ 0x20 if 0x61 <= octet <= 0x7A and coin & 1 else octet
        for octet, coin in zip(wire_name, coins, strict=True)
    )


def build_question(wire_name: bytes, rtype: int) -> bytes:
    """Return the question section of one question."""
    return wire_name + struct.pack("!HH", rtype, 1)


def build_query(query_id: int, question: bytes, *, edns: bool = True) -> bytes:
    """Return a query packet with RD set, and with an OPT record unless the server cannot take one."""
    return _HEADER.pack(query_id, 0x0100, 1, 0, 0, 1 if edns else 0) + question + (_OPT if edns else b"")


def answers(packet: bytes, question: bytes) -> bool:
    """Tell whether the packet is a response to that question (its id is already known to be right).

    An error without a question section is taken too: some servers leave it out when they refuse.
    """
    if len(packet) < 12 or not packet[2] & 0x80:
        return False
    count = packet[4] << 8 | packet[5]
    if count == 0:
        return packet[3] & 0x0F not in (NOERROR, NXDOMAIN)
    return count == 1 and packet[12 : 12 + len(question)].lower() == question.lower()


def repeats_exactly(packet: bytes, question: bytes) -> bool:
    """Tell whether an answer repeats the question in the same case of letters, or has none (see `answers`)."""
    return packet[4:6] == b"\0\0" or packet.startswith(question, 12)


def as_truncated(packet: bytes) -> bytes:
    """Return the packet with TC set."""
    return packet[:2] + bytes([packet[2] | 0x02]) + packet[3:]


def parse_response(packet: bytes, question: bytes) -> Response:
    """Return what a packet says to a question; raises MalformedResponse.

    `answers(packet, question)` must hold. Records that are not on the CNAME chain of the asked name are ignored.
    """
    try:
        return _parse(packet, question)
    except (IndexError, struct.error, ValueError) as error:
        raise MalformedResponse(str(error) or "truncated packet") from error


def _parse(packet: bytes, question: bytes) -> Response:
    _, flags, question_count, answer_count, authority_count, _ = _HEADER.unpack_from(packet)
    rcode, truncated = flags & 0x0F, bool(flags & 0x0200)
    if truncated or rcode not in (NOERROR, NXDOMAIN):
        return Response(rcode, truncated, (), 0)
    if answer_count > _MAX_RECORDS:
        raise MalformedResponse("too many records")
    rtype = question[-4] << 8 | question[-3]
    offset = 12 + (len(question) if question_count else 0)
    section = _plain_section(packet, offset, answer_count, rtype)
    if section is None:
        section = _answer_section(packet, offset, answer_count, _read_name(packet, 12)[0], rtype)
    offset, records, ttl = section
    if not records:
        ttl = _negative_ttl(packet, offset, authority_count)
    return Response(rcode, False, records, ttl)


def _plain_section(packet: bytes, offset: int, count: int, rtype: int) -> tuple[int, tuple[Any, ...], int] | None:
    """Read the usual answer section, in which every record has the asked name and type; None for any other."""
    records: list[Any] = []
    read, lowest = _READERS[rtype], 0x7FFFFFFF
    for _ in range(count):
        if not packet.startswith(_TO_QUESTION, offset):
            return None
        kind, rclass, ttl, length = _FIXED.unpack_from(packet, offset + 2)
        if kind != rtype or rclass != 1:
            return None
        offset += 12
        if offset + length > len(packet):
            raise MalformedResponse("record longer than the packet")
        records.append(read(packet, offset, length))
        lowest = min(lowest, ttl)
        offset += length
    return offset, tuple(records), lowest


def _answer_section(packet: bytes, offset: int, count: int, name: str, rtype: int) -> tuple[int, tuple[Any, ...], int]:
    """Return where the section ends, the records of the type at the end of the CNAME chain, and the lowest TTL."""
    cnames: dict[str, tuple[str, int]] = {}
    found: dict[str, list[tuple[int, int, int]]] = {}
    for _ in range(count):
        if packet.startswith(_TO_QUESTION, offset):
            owner, offset = name, offset + 2
        else:
            owner, offset = _read_name(packet, offset)
        kind, rclass, ttl, length = _FIXED.unpack_from(packet, offset)
        offset += 10
        if offset + length > len(packet):
            raise MalformedResponse("record longer than the packet")
        if rclass == 1 and kind == rtype:
            found.setdefault(owner, []).append((offset, length, ttl))
        elif rclass == 1 and kind == _CNAME:
            cnames[owner] = (_read_name(packet, offset)[0], ttl)
        offset += length
    lowest: int = 0x7FFFFFFF
    seen: set[str] = set()
    while name in cnames and name not in found:
        if name in seen:
            raise MalformedResponse("CNAME loop")
        seen.add(name)
        name, ttl = cnames[name]
        lowest = min(lowest, ttl)
    read = _READERS[rtype]
    records = tuple(read(packet, start, length) for start, length, _ in found.get(name, ()))
    lowest = min([lowest, *(ttl for _, _, ttl in found.get(name, ()))])
    return offset, records, lowest


def _negative_ttl(packet: bytes, offset: int, count: int) -> int:
    """Return how long 'does not exist' holds: the lower of the SOA's TTL and its minimum (RFC 2308 section 5)."""
    for _ in range(min(count, _MAX_RECORDS)):
        offset = offset + 2 if packet[offset] >= 0xC0 else _read_name(packet, offset)[1]
        kind, _, ttl, length = _FIXED.unpack_from(packet, offset)
        offset += 10
        if kind == _SOA and length >= 22 and offset + length <= len(packet):
            (minimum,) = struct.unpack_from("!I", packet, offset + length - 4)
            return min(int(ttl), int(minimum))
        offset += length
    return 0


def _read_name(packet: bytes, offset: int) -> tuple[str, int]:
    """Return a name as lower-case text and the offset behind it, following compression pointers."""
    labels: list[str] = []
    end, total = -1, 0
    for _ in range(_MAX_POINTERS + 128):
        length = packet[offset]
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | packet[offset + 1]
            end = offset + 2 if end < 0 else end
            # Pointers go back only, so they cannot go in a circle, and to names, which the header is not.
            if not _HEADER.size <= target < offset:
                raise MalformedResponse("compression pointer forward or into the header")
            offset = target
        elif length >= 0x40:
            raise MalformedResponse("unknown label type")
        elif not length:
            return ".".join(labels), end if end >= 0 else offset + 1
        else:
            label = packet[offset + 1 : offset + 1 + length]
            total += length + 1
            if len(label) < length or total > 255:
                raise MalformedResponse("name too long")
            labels.append(_label_text(label))
            offset += length + 1
    raise MalformedResponse("too many labels")


def _label_text(label: bytes) -> str:
    """Return a label as safe text: what is not plain is written \\DDD (RFC 1035 section 5.1)."""
    if _PLAIN.issuperset(label):
        return label.decode("ascii").lower()
    return "".join(chr(octet).lower() if octet in _PLAIN else f"\\{octet:03}" for octet in label)


def _read_a(packet: bytes, offset: int, length: int) -> str:
    if length != 4:
        raise MalformedResponse("A record of a wrong length")
    first, second, third, fourth = packet[offset : offset + 4]
    return f"{first}.{second}.{third}.{fourth}"


def _read_aaaa(packet: bytes, offset: int, length: int) -> str:
    if length != 16:
        raise MalformedResponse("AAAA record of a wrong length")
    return str(IPv6Address(packet[offset : offset + 16]))


def _read_mx(packet: bytes, offset: int, length: int) -> tuple[int, str]:
    return packet[offset] << 8 | packet[offset + 1], _read_name(packet, offset + 2)[0]


def _read_txt(packet: bytes, offset: int, length: int) -> bytes:
    end, strings = offset + length, []
    while offset < end:
        size = packet[offset]
        if offset + 1 + size > end:
            raise MalformedResponse("TXT string longer than its record")
        strings.append(packet[offset + 1 : offset + 1 + size])
        offset += 1 + size
    return b"".join(strings)


def _read_target(packet: bytes, offset: int, length: int) -> str:
    return _read_name(packet, offset)[0]


_READERS: dict[int, Callable[[bytes, int, int], Any]] = {
    TYPES["A"]: _read_a,
    TYPES["AAAA"]: _read_aaaa,
    TYPES["MX"]: _read_mx,
    TYPES["TXT"]: _read_txt,
    TYPES["SPF"]: _read_txt,
    TYPES["PTR"]: _read_target,
    TYPES["NS"]: _read_target,
    TYPES["CNAME"]: _read_target,
    TYPES["SOA"]: _read_target,
}
