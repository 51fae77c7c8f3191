"""Changes to a message's header section, as data: a milter sends them as commands, the proxy applies them.

The rule: what is not edited stays byte for byte as it came.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from filterproxy.pipeline.header_fields import field_spans, line_end_of

# A message that begins with a continuation line would continue the last of our fields, and write results into it.
_STRAY = ("X-Stray-Continuation", "the message began with the lines below")
_BLANKS = (b" ", b"\t")


@dataclass(frozen=True, slots=True)
class HeaderEdits:
    """Fields to remove, change and insert.

    `remove` and `change` count 1-based occurrences of a name (any case) in the message as it came; `insert` goes to
    the very top, in this order. Values are text with surrogate escapes for octets that are not UTF-8; a fold is
    written as a line feed and a tab, and no other control character may stand in a value.
    """

    remove: tuple[tuple[str, int], ...] = ()
    change: tuple[tuple[str, int, str], ...] = ()
    insert: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.remove or self.change or self.insert)

    def removals(self, raw: bytes) -> dict[str, tuple[int, ...] | None]:
        """Return what goes by name: the occurrences, or None when none of that name is left in the message."""
        found: dict[str, list[int]] = {}
        for name, occurrence in self.remove:
            found.setdefault(name, []).append(occurrence)
        if not found:
            return {}
        counts = Counter(span.name for span in field_spans(raw))
        return {name: tuple(which) if len(which) < counts[name.lower()] else None for name, which in found.items()}

    def apply(self, raw: bytes) -> bytes:
        """Return the message with these edits, line ends as the message has them."""
        if not self:
            return raw
        line_end = line_end_of(raw)
        removed = {(name.lower(), occurrence) for name, occurrence in self.remove}
        changed = {(name.lower(), occurrence): (name, value) for name, occurrence, value in self.change}
        pieces = [_field(name, value, line_end) for name, value in self.insert]
        if pieces and raw[:1] in _BLANKS:
            pieces.append(_field(*_STRAY, line_end))
        kept = 0
        for span in field_spans(raw) if removed or changed else ():
            key = (span.name, span.occurrence)
            if key in removed or key in changed:
                pieces.append(raw[kept : span.start])
                kept = span.end
            if key in changed:
                pieces.append(_field(*changed[key], line_end))
        pieces.append(_rest(raw, kept, line_end))
        return b"".join(pieces)


def _rest(raw: bytes, kept: int, line_end: bytes) -> bytes:
    """Return what follows; a message whose first line is no field needs the empty line that ends our header."""
    rest = raw[kept:]
    if kept == 0 and rest and next(field_spans(raw), None) is None and not rest.startswith((b"\n", b"\r\n")):
        return line_end + rest
    return rest


def _field(name: str, value: str, line_end: bytes) -> bytes:
    encoded = value.encode("utf-8", "surrogateescape").replace(b"\n", line_end)
    return name.encode("ascii") + b": " + encoded + line_end
