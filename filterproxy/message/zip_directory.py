"""The list of a ZIP archive's members, from its central directory alone (APPNOTE.TXT 4.3.12 and 4.3.16).

The one rule: nothing is decompressed, and lengths in the file are checked against its size.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_END = b"PK\x05\x06"
_ENTRY = b"PK\x01\x02"
_END_LENGTH = 22
_MAX_COMMENT = 65_535
_ENTRY_FIELDS = struct.Struct("<4s6H3L5H2L")
_UTF8_NAME = 0x800
_ENCRYPTED = 0x1


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the directory describes it: sizes in bytes, not verified."""

    name: str
    size: int
    compressed_size: int
    encrypted: bool


def list_members(data: bytes, limit: int) -> tuple[tuple[Member, ...], bool]:
    """Return at most `limit` members, and whether there are more; a damaged directory ends the list."""
    end = data.rfind(_END, max(0, len(data) - _END_LENGTH - _MAX_COMMENT))
    if end < 0 or end + _END_LENGTH > len(data):
        return (), False
    size, offset = struct.unpack_from("<2L", data, end + 12)
    # Data in front of the archive (a self-extractor) shifts it: the directory lies right before its end record.
    position = end - size if size <= end else offset
    members: list[Member] = []
    while position + _ENTRY_FIELDS.size <= end:
        fields = _ENTRY_FIELDS.unpack_from(data, position)
        if fields[0] != _ENTRY:
            break
        if len(members) >= limit:
            return tuple(members), True
        name_start = position + _ENTRY_FIELDS.size
        name = data[name_start : name_start + fields[10]]
        text = name.decode("utf-8" if fields[3] & _UTF8_NAME else "cp437", "replace")
        members.append(Member(text, fields[9], fields[8], bool(fields[3] & _ENCRYPTED)))
        position = name_start + fields[10] + fields[11] + fields[12]
    return tuple(members), False
