"""Header fields as received: split in one pass, decoded only when asked.

The one rule: `raw` is never changed. A line end is CRLF or LF (one bare CR counts only in a message without any LF).
A line that is no field ends the header block, as Postfix has it; white space before the colon is allowed (RFC 5322
section 4.5), so that a `From :` hides from nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from filterproxy.message.encoded_words import decode_words
from filterproxy.message.limits import Limits

# A field: name, colon, value with its continuation lines (no input makes it go back).
_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*)\n?")
_INNER_FIELD = re.compile(rb"(?!--)" + _FIELD.pattern)
# Skipped: an mbox separator, a field without name, and white space that continues nothing. Some readers see a field
# after that white space, so this one does too.
_NO_FIELD = re.compile(rb">?From [^\n]*+\n?|:[^\n]*+(?:\n[ \t][^\n]*+)*\n?|[ \t]++(?:\r?\n)?")
_BREAKS = re.compile(r"[\r\n\0]+[ \t]*")
_MBOX_LINE = (b"From ", b">From ")


class Header:
    """One header field.

    `name` as received, `raw` the whole field with its line end, `raw_value` everything after the colon as received,
    without the final line end.
    """

    __slots__ = ("_defects", "_limits", "_unfolded", "_value", "name", "raw", "raw_value")

    def __init__(self, name: str, raw: bytes, raw_value: bytes, limits: Limits, defects: set[str]) -> None:
        self.name = name
        self.raw = raw
        self.raw_value = raw_value
        self._limits = limits
        self._defects = defects
        self._unfolded: str | None = None
        self._value: str | None = None

    @property
    def unfolded(self) -> str:
        """Return the value on one line, bytes decoded (UTF-8, else Windows-1252), encoded words as they are."""
        if self._unfolded is None:
            self._unfolded = self._unfold()
        return self._unfolded

    @property
    def value(self) -> str:
        """Return the value on one line with RFC 2047 encoded words decoded; it never holds CR, LF or NUL."""
        if self._value is None:
            text = self.unfolded
            self._value = decode_words(text, self._limits, self._defects) if "=?" in text else text
        return self._value

    def _unfold(self) -> str:
        raw = self.raw_value
        if len(raw) > self._limits.header_value:
            raw = raw[: self._limits.header_value]
            self._defects.add("header_value_limit")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            self._defects.add("header_8bit")
            text = raw.decode("cp1252", "replace")
        text = text.strip(" \t\r\n")
        # A fold reads as one blank, whatever white space it holds (RFC 5322 section 2.2.3).
        if "\n" in text or "\r" in text or "\0" in text:
            text = _BREAKS.sub(" ", text)
        return text

    def __repr__(self) -> str:
        return f"Header({self.name!r}, {self.value!r})"


class Headers:
    """The fields of one header block in their order; names match without regard to case."""

    __slots__ = ("_by_name", "_fields")

    def __init__(self, fields: list[Header]) -> None:
        self._fields = fields
        by_name: dict[str, list[Header]] = {}
        for field in fields:
            by_name.setdefault(field.name.lower(), []).append(field)
        self._by_name = by_name

    def all(self, name: str) -> tuple[Header, ...]:
        """Return every field of that name, topmost first."""
        return tuple(self._by_name.get(name.lower(), ()))

    def first(self, name: str) -> Header | None:
        """Return the topmost field of that name."""
        found = self._by_name.get(name.lower())
        return found[0] if found else None

    def last(self, name: str) -> Header | None:
        """Return the lowest field of that name."""
        found = self._by_name.get(name.lower())
        return found[-1] if found else None

    def count(self, name: str) -> int:
        """Return how many fields have that name."""
        return len(self._by_name.get(name.lower(), ()))

    def __iter__(self) -> Iterator[Header]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._by_name


def parse_headers(
    buffer: bytes, start: int, limits: Limits, defects: set[str], *, inner: bool = False
) -> tuple[Headers, int, int]:
    """Return the fields of the block at `start`, the offset of its end, and that of the body.

    Between the two lies the empty line, if there is one. In an inner block (of a part) a line that begins with
    `--` is never a field: it may be the boundary of a part without any body.
    """
    fields: list[Header] = []
    pattern = _INNER_FIELD if inner else _FIELD
    match, position = _next_field(pattern, buffer, start, defects)
    while match is not None:
        if len(fields) < limits.headers:
            fields.append(Header(match[1].decode("ascii"), match[0], match[2].removesuffix(b"\r"), limits, defects))
        else:
            defects.add("header_limit")
        match, position = _next_field(pattern, buffer, position, defects)
    body_start = _after_empty_line(buffer, position)
    if body_start == position and position < len(buffer):
        defects.add("missing_separator")
    return Headers(fields), position, body_start


def field_spans(raw: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield (name, start, end) of every field of the top header block: `raw[start:end]` is the field with its line end.

    Unlike `Headers` it has no limit on their number: what is to be removed is found wherever it stands.
    """
    ignored: set[str] = set()
    match, position = _next_field(_FIELD, raw, 0, ignored)
    while match is not None:
        yield match[1].decode("ascii"), match.start(), match.end()
        match, position = _next_field(_FIELD, raw, position, ignored)


def _next_field(
    pattern: re.Pattern[bytes], buffer: bytes, position: int, defects: set[str]
) -> tuple[re.Match[bytes] | None, int]:
    """Return the next field and the offset after it, or None and the offset where the header block ends."""
    while (match := pattern.match(buffer, position)) is None:
        skipped = _NO_FIELD.match(buffer, position)
        if skipped is None:
            return None, position
        if not skipped[0].startswith(_MBOX_LINE):
            defects.add("bad_header")
        position = skipped.end()
    return match, match.end()


def _after_empty_line(buffer: bytes, position: int) -> int:
    if buffer.startswith(b"\n", position):
        return position + 1
    if buffer.startswith(b"\r\n", position):
        return position + 2
    return position
