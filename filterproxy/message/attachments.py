"""Attachments: parts that a reader saves or opens rather than reads.

The one rule: nothing is unpacked or opened; an archive's members are listed from its directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property

from filterproxy.message.file_types import detect_type
from filterproxy.message.limits import Limits
from filterproxy.message.mime import Part
from filterproxy.message.zip_directory import Member, list_members

_DOUBLE = 5


class Attachment:
    """One attachment. `extension` is lower case without its dot; costly properties are computed when asked."""

    def __init__(self, part: Part, limits: Limits, defects: set[str]) -> None:
        self.part = part
        self.filename = part.filename
        self.content_type = part.content_type
        self._limits = limits
        self._defects = defects

    @property
    def extension(self) -> str:
        """Return the last extension of the file name (`exe` of `a.pdf.exe`), empty when there is none."""
        return self.extensions[-1] if self.extensions else ""

    @cached_property
    def extensions(self) -> tuple[str, ...]:
        """Return all extensions (`pdf`, `exe` of `a.pdf.exe`), without final dots and blanks, as in Windows."""
        name = self.filename.replace("\\", "/").rpartition("/")[2].rstrip(". \t\0").lower()
        return tuple(piece.strip() for piece in name.split(".")[1:][-_DOUBLE:])

    @cached_property
    def detected_type(self) -> str:
        """Return the media type that the content shows, empty when unknown."""
        return detect_type(self.part.payload)

    @cached_property
    def size(self) -> int:
        """Return the decoded size in bytes."""
        return len(self.part.payload)

    @cached_property
    def sha256(self) -> str:
        """Return the SHA-256 of the decoded content in hex."""
        return hashlib.sha256(self.part.payload).hexdigest()

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Return the members of a ZIP archive as its directory lists them, empty for anything else."""
        members, more = list_members(self.part.payload, self._limits.archive_members)
        if more:
            self._defects.add("archive_limit")
        return members

    def __repr__(self) -> str:
        return f"Attachment({self.filename!r}, {self.content_type!r})"


def find_attachments(parts: Iterable[Part], limits: Limits, defects: set[str]) -> tuple[Attachment, ...]:
    """Return the leaves that are no plain body text: with a file name, marked as attachment, or of another type."""
    found: list[Attachment] = []
    for part in parts:
        if part.is_container or not (part.disposition == "attachment" or part.filename or not part.is_text):
            continue
        if len(found) >= limits.attachments:
            defects.add("attachments_limit")
            break
        found.append(Attachment(part, limits, defects))
    return tuple(found)
