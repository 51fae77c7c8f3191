"""The header section as the edits see it: where each field starts and ends, counted by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldSpan:
    """One header field: lower-case name, 1-based occurrence among the same names, byte offsets [start, end)."""

    name: str
    occurrence: int
    start: int
    end: int


def field_spans(raw: bytes) -> Iterator[FieldSpan]:
    """Yield the fields of a message's header section in order; a line that is no field belongs to none.

    A field is a line with a colon and its continuation lines (RFC 5322 section 2.2); the section ends at the first
    empty line. Linear in the size of the section.
    """
    seen: dict[str, int] = {}
    name, start = "", 0
    for line_start, line_end in _lines(raw):
        if raw[line_start : line_start + 1] in (b" ", b"\t"):
            continue
        if name:
            yield _span(name, seen, start, line_start)
        name, start = _field_name(raw, line_start, line_end), line_start
        if not raw[line_start:line_end].strip(b"\r\n"):
            return
    if name:
        yield _span(name, seen, start, len(raw))


def line_end_of(raw: bytes) -> bytes:
    """Return the line end that the message uses, as its first line shows it."""
    first = raw.find(b"\n")
    return b"\n" if first == 0 or (first > 0 and raw[first - 1] != 0x0D) else b"\r\n"


def _lines(raw: bytes) -> Iterator[tuple[int, int]]:
    position = 0
    while position < len(raw):
        end = raw.find(b"\n", position) + 1 or len(raw)
        yield position, end
        position = end


def _field_name(raw: bytes, start: int, end: int) -> str:
    name, colon, _ = raw[start:end].partition(b":")
    return name.rstrip(b" \t").decode("latin-1").lower() if colon else ""


def _span(name: str, seen: dict[str, int], start: int, end: int) -> FieldSpan:
    seen[name] = seen.get(name, 0) + 1
    return FieldSpan(name, seen[name], start, end)
