"""Untrusted text made safe for one line of a log.

The rule: whatever comes in, what goes out is one bounded line in which nothing can pass for a separator, a second line
or another direction of writing. Escapes are `\\xNN`, `\\uNNNN` and `\\UNNNNNNNN`; a backslash is `\\\\`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# Control characters, format characters (bidi overrides, zero width), surrogates, private use, unassigned, and the
# separators that some viewers break lines at.
_UNSAFE_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


@dataclass(frozen=True, slots=True)
class Separators:
    """Characters that are harmless in free text and must not occur inside a value.

    `suspicious` finds text that needs a closer look: all but plain ASCII without them, as nearly all text is.
    """

    characters: frozenset[str]
    suspicious: re.Pattern[str]

    @classmethod
    def of(cls, characters: str) -> Separators:
        """Return the separators of a text."""
        return cls(frozenset(characters), re.compile(f"[^ -~]|[{re.escape(characters)}\\\\]"))


_NONE = Separators.of("")
_QUOTED = Separators.of('"')
_ADDRESS = Separators.of(' "<>,')
_LISTED = Separators.of(' "=,;(){}[]<>')
_BARE = re.compile('[ "=,]')


def escape(text: str, limit: int, separators: Separators = _NONE) -> str:
    """Return the text cut to `limit` characters (marked `…`), with unsafe characters and the separators escaped."""
    cut = text[:limit]
    if separators.suspicious.search(cut):
        cut = "".join(_escape_char(char, separators.characters) for char in cut)
    return cut if len(text) <= limit else cut + "…"


def _escape_char(char: str, separators: frozenset[str]) -> str:
    if char == "\\":
        return "\\\\"
    if char not in separators and unicodedata.category(char) not in _UNSAFE_CATEGORIES:
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def address(text: str | None, limit: int = 320) -> str:
    """Return an address in angle brackets: `<a@example.org>`, `<>` for the null sender."""
    return f"<{escape(text or '', limit, _ADDRESS)}>"


def listed(text: str, limit: int = 120) -> str:
    """Return text for inside a list of options, where brackets and punctuation are separators."""
    return escape(text, limit, _LISTED)


def value(text: str, limit: int = 256) -> str:
    """Return text as the value of `key=`: bare when it is one word, else in double quotes."""
    if text and not _BARE.search(text[:limit]):
        return escape(text, limit)
    return f'"{escape(text, limit, _QUOTED)}"'
